"""When claims are tried again, and how orders are placed along with them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rtb.api.dispatcher import Dispatcher
from rtb.api.metrics import Tally
from rtb.broker.post import Post
from rtb.ledger import BadDataError, Claim, LedgerUnavailableError
from rtb.ledger.claim import read_claim
from rtb.model.orders import NewOrder, NewUnit


class _Books:
    def __init__(self) -> None:
        self.asked = 0

    async def claim(self, box: str | None, most: int) -> Any:
        self.asked += 1
        raise LedgerUnavailableError("it starts")

    async def wake(self) -> Any:
        self.asked += 1
        raise LedgerUnavailableError("it starts")


class _Client:
    can_publish = True


def test_a_ledger_that_is_away_is_asked_at_a_steady_rate() -> None:
    clock, books = Clock(), _Books()
    client: Any = _Client()
    told: Any = books
    dispatcher = Dispatcher(clock, client, told, Post("a"), lambda: None, Tally())
    dispatcher.startService()
    clock.pump([0.1] * 40)
    assert 10 <= books.asked <= 20, "claims and wakes, each every half second"


class _Idle:
    """Books that are idle, and answer when they are told to."""

    is_idle = True

    def __init__(self) -> None:
        self.said: list[str] = []
        self.claimed: Deferred[Claim] = Deferred()

    async def place_and_claim(self, order: NewOrder, most: int, **how: Any) -> Any:
        self.said.append("placed and claimed")
        return {"id": 1}, await self.claimed

    async def place(self, order: NewOrder, **how: Any) -> Any:
        self.said.append("placed")
        return {"id": 2}

    async def claim(self, box: str | None, most: int) -> Claim:
        self.said.append("claimed")
        return read_claim([])

    async def wake(self) -> Any:
        return 0, None


@pytest.fixture
def idle() -> tuple[_Idle, Dispatcher]:
    books, client = _Idle(), _Client()
    told: Any = books
    taken: Any = client
    dispatcher = Dispatcher(Clock(), taken, told, Post("a"), lambda: None, Tally())
    dispatcher.startService()
    books.said.clear()
    return books, dispatcher


def _placing(dispatcher: Dispatcher, units: int = 1, **values: Any) -> Deferred[Any]:
    order = NewOrder(units=[NewUnit(**values) for _ in range(units)])
    placing = dispatcher.place(order, key=None, fingerprint="", closed=False)
    return Deferred.fromCoroutine(placing)


def test_where_an_order_brought_no_claim_it_looks_again(idle: tuple[_Idle, Dispatcher]) -> None:
    books, dispatcher = idle
    placing = _placing(dispatcher)
    books.claimed.callback(read_claim([]))
    assert placing.result == {"id": 1}
    assert books.said == ["placed and claimed", "claimed"]


def test_a_claim_that_is_refused_refuses_no_order(idle: tuple[_Idle, Dispatcher]) -> None:
    books, dispatcher = idle
    placing = _placing(dispatcher)
    books.claimed.errback(BadDataError("out of range"))
    assert placing.result == {"id": 2}
    assert books.said == ["placed and claimed", "placed", "claimed"]


def test_what_is_large_or_meets_others_is_placed_by_itself(
    idle: tuple[_Idle, Dispatcher],
) -> None:
    books, dispatcher = idle
    for units, values in ((101, {}), (5, {"payload": b'"' + b"x" * 60_000 + b'"'})):
        assert _placing(dispatcher, units, **values).result == {"id": 2}
    books.is_idle = False
    assert _placing(dispatcher).result == {"id": 2}
    assert books.said == ["placed", "claimed"] * 3


def test_it_does_not_end_before_what_was_claimed_with_an_order_is_published(
    idle: tuple[_Idle, Dispatcher],
) -> None:
    books, dispatcher = idle
    placing = _placing(dispatcher)
    ended = Deferred.fromCoroutine(dispatcher.stopService())
    assert not ended.called
    books.claimed.callback(read_claim([]))
    assert placing.called
    assert ended.called
    assert _placing(dispatcher).result == {"id": 2}
