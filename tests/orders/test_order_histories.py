"""C1: after any history, with every verb in it, each counter is its count."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import pytest_twisted
from orders_support import Ledger
from twisted.internet.defer import Deferred, gatherResults

from rtb.ledger import RefusedError
from rtb.model.lifecycle import Kind, Status
from rtb.model.verbs import Filter, Verb

_ENDS = (Kind.SUCCESS, Kind.ERROR, Kind.FAILED, Kind.RETURNED, Kind.LOST, Kind.RESCUED)


class History:
    def __init__(self, ledger: Ledger, random: Random) -> None:
        self.ledger = ledger
        self.random = random
        self.orders: list[int] = []
        self.open: dict[tuple[int, int], None] = {}

    async def step(self) -> None:
        await self.random.choice((
            self.place, self.claim, self.claim, self.move, self.move, self.end, self.end,
            self.verb, self.verb, self.unit_verb, self.follow, self.wake, self.weigh,
        ))()  # fmt: skip

    async def place(self) -> None:
        later = datetime.now(UTC) + timedelta(seconds=self.random.choice((-1, 0.02, 3600)))
        order = await self.ledger.place(
            self.random.randint(1, 30),
            account=f"a{self.random.randint(0, 3)}",
            workload=self.random.choice(("default", "other")),
            priority=self.random.randint(-1, 1),
            not_before=self.random.choice((None, None, later)),
            max_failures=self.random.randint(1, 3),
        )
        self.orders.append(order)

    async def claim(self) -> None:
        box = self.random.choice(("one", "two"))
        claim = await self.ledger.books.claim(box, self.random.randint(1, 20))
        self.open |= dict.fromkeys(unit.key for unit in claim.units)

    def _some(self) -> list[tuple[int, int]]:
        keys = list(self.open)
        return self.random.sample(keys, min(len(keys), self.random.randint(0, 8)))

    async def move(self) -> None:
        await self.ledger.say(self.random.choice((Kind.QUEUED, Kind.PROCESSING)), self._some())

    async def end(self) -> None:
        keys = self._some()
        await self.ledger.say(self.random.choice(_ENDS), keys)
        for key in keys:
            self.open.pop(key, None)

    async def verb(self) -> None:
        if self.orders:
            await self.tried(
                self.ledger.verbs.change(
                    self.random.choice(self.orders),
                    self.random.choice((*Verb, Verb.HOLD, Verb.RELEASE, Verb.RELEASE)),
                    why="a test",
                    priority=self.random.randint(-3, 3),
                )
            )

    async def unit_verb(self) -> None:
        if self.orders:
            chosen = Filter(
                frozenset(self.random.sample(list(Status), self.random.randint(0, 4))),
                self.random.choice((None, "u1")),
            )
            order, verb = self.random.choice(self.orders), self.random.choice(list(Verb))
            units = await self.ledger.verbs.count(order, verb, chosen)
            assert units is not None
            await self.tried(self.ledger.verbs.change_units(order, verb, chosen, units, priority=2))

    async def tried(self, asked: Any) -> None:
        with suppress(RefusedError):  # cancelled meanwhile
            await asked

    async def follow(self) -> None:
        for _, key in await self.ledger.follow():
            self.open.pop(key, None)

    async def wake(self) -> None:
        await self.ledger.books.wake()

    async def weigh(self) -> None:
        await self.ledger.verbs.set_account(
            f"a{self.random.randint(0, 3)}",
            weight=self.random.choice((0.5, 1.0, 3.0)),
            cap=None,
            sets_cap=False,
        )


@pytest.mark.parametrize("seed", range(6))
@pytest_twisted.ensureDeferred
async def test_counters_are_counts_after_any_history(ledger: Ledger, seed: int) -> None:
    random = Random(seed)
    await ledger.books.set_going(True)
    await ledger.box("one", 25, "default")
    await ledger.box("two", 25, "default", "other")
    history = History(ledger, random)
    for number in range(120):
        await history.step()
        if number % 10 == 9:
            ledger.check()
    ledger.check()


@pytest.mark.parametrize("seed", range(4))
@pytest_twisted.ensureDeferred
async def test_counters_are_counts_when_all_happens_at_once(ledger: Ledger, seed: int) -> None:
    """Several at a time: claims, flushes, verbs and batches overlap, and nobody deadlocks."""
    await ledger.books.set_going(True)
    await ledger.box("one", 25, "default")
    await ledger.box("two", 25, "default", "other")
    second = Ledger(ledger.reactor, ledger.database, Random(99 + seed))
    try:
        histories = [History(ledger, Random(seed)), History(second, Random(seed + 50))]
        for history in histories:
            history.orders = histories[0].orders

        async def run(history: History) -> None:
            for _ in range(80):
                await history.step()

        running = [Deferred.fromCoroutine(run(history)) for history in histories for _ in (1, 2)]
        await gatherResults(running, consumeErrors=True)
        ledger.check()
    finally:
        second.close()
