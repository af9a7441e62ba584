"""How claims are tried again while the ledger is away."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from rtb.api.dispatcher import Dispatcher
from rtb.api.metrics import Tally
from rtb.broker.post import Post
from rtb.ledger import LedgerUnavailableError


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
