"""The pick in SQL against an oracle that reads every unit and looks at everybody."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

import pytest
import pytest_twisted
from orders_support import Ledger

from rtb.model.lifecycle import Kind
from rtb.model.verbs import Filter, Verb

_WAITING = """
    SELECT a.id, a.weight, o.id, u.id FROM units u
      JOIN orders o ON o.id = u.order_id JOIN accounts a ON a.id = o.account_id
     WHERE u.status = 'waiting' AND u.held_at IS NULL AND u.not_before IS NULL
       AND o.held_at IS NULL AND o.not_before IS NULL AND o.state = 'open'
       AND o.workload = ANY (%s)
     ORDER BY o.priority DESC, o.id, u.priority DESC, u.id"""
_FLYING = """
    SELECT o.account_id, count(*) FROM units u JOIN orders o ON o.id = u.order_id
     WHERE u.status IN ('sent', 'queued', 'processing') GROUP BY 1"""
_SERVED = "SELECT account_id, min(served) FROM shares GROUP BY 1"


def oracle(ledger: Ledger, room: int, kinds: list[str]) -> list[tuple[int, int, int]]:
    flying = defaultdict(int, ledger.sql(_FLYING))  # type: ignore[arg-type]
    served = dict(ledger.sql(_SERVED))  # type: ignore[arg-type]
    weights: dict[int, float] = {}
    lines: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for account, weight, order, unit in ledger.sql(_WAITING, kinds):
        weights[account] = weight
        lines[account].append((order, unit))
    picked = []
    while len(picked) < room and any(lines.values()):
        account = min(
            (account for account in lines if lines[account]),
            key=lambda a: ((flying[a] + 1) / weights[a], served[a], a),
        )
        picked.append((account, *lines[account].pop(0)))
        flying[account] += 1
    return picked


async def _populate(ledger: Ledger, random: Random) -> None:
    for number in range(random.randint(2, 7)):
        await ledger.verbs.set_account(
            f"a{number}", weight=random.choice((0.3, 1.0, 1.0, 2.0, 5.0)), cap=None, sets_cap=False
        )
    for _ in range(random.randint(3, 14)):
        order = await ledger.place(
            random.choice((1, 1, 3, 20, 60)),
            account=f"a{random.randint(0, 6)}",
            workload=random.choice(("default", "default", "other")),
            priority=random.randint(-1, 1),
        )
        verb = random.choice((None, None, Verb.HOLD, Verb.PRIORITY))
        if verb is not None and random.random() < 0.3:
            await ledger.verbs.change(order, verb, priority=3)
        elif verb is not None:
            chosen = Filter(prefix=f"u{random.randint(0, 2)}")
            priority = random.choice((-(2**15), -2, -1, 0, 1, 2, 2**15 - 1))
            await ledger.verbs.change_units(order, verb, chosen, 1, priority=priority)
    await ledger.follow()


@pytest.mark.parametrize("seed", range(12))
@pytest_twisted.ensureDeferred
async def test_the_pick_is_the_rule(ledger: Ledger, seed: int) -> None:
    random = Random(seed)
    await ledger.books.set_going(True)
    await ledger.box("one", 40, "default")
    await ledger.box("two", 40, "default", "other")
    await ledger.box("six", 10, "other")
    await _populate(ledger, random)
    offers = {"one": ["default"], "two": ["default", "other"], "six": ["other"]}
    flying: list[tuple[int, int]] = []
    for _ in range(12):
        box = random.choice(sorted(offers))
        room = random.choice((1, 2, 7, 25))
        expected: Any = oracle(ledger, room, offers[box])
        picked = ledger.sql(
            "SELECT rank, account_id, order_id, unit_id FROM rtb_pick(%s, %s)", room, offers[box]
        )
        assert [row[0] for row in picked] == list(range(1, len(picked) + 1))
        assert [row[1:] for row in picked] == expected
        claim = await ledger.books.claim(box, room)
        claimed = [(unit.order, unit.unit) for unit in claim.units]
        assert claimed == [row[1:] for row in expected][: len(claimed)]
        flying += [unit.key for unit in claim.units]
        random.shuffle(flying)
        gone = [flying.pop() for _ in range(random.randint(0, len(flying)))]
        await ledger.say(random.choice((Kind.SUCCESS, Kind.RETURNED)), gone)
    shown = [(unit["order"], unit["id"]) for unit in await ledger.reads.next_units(30)]
    assert shown == [row[1:] for row in oracle(ledger, 30, ["default", "other"])]
    ledger.check()


@pytest_twisted.ensureDeferred
async def test_a_claim_takes_nothing_of_an_order_that_is_held_by_then(ledger: Ledger) -> None:
    await ledger.books.set_going(True)
    await ledger.box("one", 40)
    order = await ledger.place(10)
    await ledger.verbs.change(order, Verb.HOLD, why="clouds")
    assert (await ledger.books.claim("one", 40)).units == []
    await ledger.verbs.change(order, Verb.RELEASE)
    assert len((await ledger.books.claim("one", 40)).units) == 10


@pytest_twisted.ensureDeferred
async def test_a_held_order_takes_back_its_units_without_offering_them(ledger: Ledger) -> None:
    await ledger.books.set_going(True)
    await ledger.box("one", 40)
    order = await ledger.place(10)
    claim = await ledger.books.claim("one", 5)
    await ledger.verbs.change(order, Verb.HOLD)
    await ledger.say(Kind.RETURNED, [unit.key for unit in claim.units])
    ledger.check()
    assert (await ledger.books.claim("one", 40)).units == []
    await ledger.verbs.change(order, Verb.RELEASE)
    ledger.check()
    assert len((await ledger.books.claim("one", 40)).units) == 10


@pytest_twisted.ensureDeferred
async def test_units_go_by_their_priority_from_the_lowest_to_the_highest(ledger: Ledger) -> None:
    await ledger.books.set_going(True)
    await ledger.box("one", 40)
    order = await ledger.place(6)
    for unit, priority in ((2, -(2**15)), (3, 2**15 - 1), (4, -1), (6, 1)):
        chosen = Filter(unit=unit)
        await ledger.verbs.change_units(order, Verb.PRIORITY, chosen, 1, priority=priority)
    await ledger.follow()
    ledger.check()
    claimed = [unit for _ in range(3) for unit in (await ledger.books.claim("one", 2)).units]
    assert [unit.unit for unit in claimed] == [3, 6, 1, 5, 4, 2]
    # What comes back goes by it, too, also where its order has got past it.
    await ledger.say(Kind.RETURNED, [unit.key for unit in claimed])
    ledger.check()
    again = await ledger.books.claim("one", 9)
    assert [unit.unit for unit in again.units] == [3, 6, 1, 5, 4, 2]
    ledger.check()
    assert ledger.sql("SELECT count(*) FROM again") == [(0,)]
