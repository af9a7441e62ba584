"""The ledger as its API drives it, without broker, leader and agents."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from rtb.ledger import Books
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.wire import Report, Unit
from rtb.settings import Database

BOX = "scale"
_LEADER = "bench"


class Driven:
    """Claims units and lets each live its life: named by its leader, started and done."""

    def __init__(self, reactor: Any, database: Database, random: Callable[[], float]) -> None:
        self._books = Books(reactor, database, key=7, random=random)
        self._ledger = ""
        #: Milliseconds that each claim took, and each of the two flushes after it.
        self.claims: list[float] = []
        self.flushes: list[float] = []
        self.settled = 0

    async def begin(self, capacity: int) -> None:
        """Let a leader report, and claims go on."""
        report = Report(
            ledger="", box=BOX, leader=_LEADER, number=1, capacity=capacity, queued=0,
            utilization=0.0, slots=capacity, busy=0, workloads=["default"], units=[],
        )  # fmt: skip
        await self._books.adopt(report)
        await self._books.report(report)
        await self._books.set_going(True)
        self._ledger, _ = await self._books.epoch()

    async def end(self) -> None:
        """Let no more claims go on, and close the connections."""
        await self._books.set_going(False)
        self._books.close()

    async def batch(self, units: int) -> bool:
        """Bring *units* through; False when there are none."""
        began = time.perf_counter()
        claim = await self._books.claim(BOX, units)
        self.claims.append((time.perf_counter() - began) * 1000)
        if not claim.units:
            return False
        await self._flush(claim.units, _vouching)
        await self._flush(claim.units, _done)
        self.settled += len(claim.units)
        return True

    async def _flush(self, units: list[Unit], said: Callable[[Unit], Move]) -> None:
        began = time.perf_counter()
        await self._books.apply(self._ledger, [said(unit) for unit in units])
        self.flushes.append((time.perf_counter() - began) * 1000)

    async def go_on(
        self, units: int, seconds: float, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """Go on for *seconds*, or until it is not *wanted* any more."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and wanted() and await self.batch(units):
            pass

    def taken(self) -> dict[str, float]:
        """Return the medians since the last look, in milliseconds."""
        claims, self.claims = self.claims, []
        flushes, self.flushes = self.flushes, []
        if not claims or not flushes:
            return {}
        return {"claim_ms": round(median(claims), 2), "apply_ms": round(median(flushes), 2)}


def _vouching(unit: Unit) -> Move:
    return Move(*unit.key, Kind.QUEUED, True, _LEADER, BOX)


def _done(unit: Unit) -> Move:
    return Move(*unit.key, Kind.SUCCESS, who="agent", ran=0.1, result='{"ok": true}', started=True)
