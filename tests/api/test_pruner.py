"""When the API lets old work go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rtb.api.retention import Pruner
from rtb.ledger import Gone, LedgerUnavailableError
from rtb.model.retention import read_retention

DAY = 86400


class Pruning:
    """Says what was asked of it; each prune ends when the test says so."""

    def __init__(self) -> None:
        self.ages: list[float] = []
        self.forgot = 0
        self.closed = False
        self.ending: Deferred[Gone] = Deferred()
        self.go_on: Callable[[], bool] = bool

    async def prune(self, age: float, *, go_on: Callable[[], bool]) -> Gone:
        self.ages.append(age)
        self.go_on = go_on
        self.ending = Deferred()
        return await self.ending

    async def forget_incarnations(self) -> None:
        self.forgot += 1

    def close(self) -> None:
        self.closed = True


def begin(keeping: str) -> tuple[Clock, Any, Pruner]:
    clock, pruning = Clock(), Pruning()
    pruner = Pruner(clock, pruning, read_retention(keeping))  # type: ignore[arg-type]
    pruner.startService()
    return clock, pruning, pruner


@ensureDeferred
async def test_it_prunes_soon_after_the_start_and_then_daily() -> None:
    clock, pruning, pruner = begin("30d")
    clock.advance(59)
    assert pruning.ages == []
    clock.advance(1)
    assert pruning.ages == [30 * DAY]
    clock.advance(3 * DAY)
    assert len(pruning.ages) == 1  # never two at a time
    pruning.ending.callback(Gone(1, 2, 3))
    clock.advance(DAY)
    assert len(pruning.ages) == 2
    pruning.ending.errback(LedgerUnavailableError("away"))
    clock.advance(600)
    assert len(pruning.ages) == 3
    stopping = pruner.stopService()
    assert not pruning.go_on()  # the step under way is the last one
    assert not pruning.closed
    pruning.ending.callback(Gone())
    await stopping
    assert pruning.closed
    assert clock.getDelayedCalls() == []


@ensureDeferred
async def test_by_default_all_is_kept() -> None:
    clock, pruning, pruner = begin("all")
    clock.advance(60)
    clock.advance(DAY)
    assert (pruning.ages, pruning.forgot) == ([], 2)
    await pruner.stopService()
    assert clock.getDelayedCalls() == []
