"""One run of one entry: single units first, while all is idle, then many at once."""

from __future__ import annotations

from typing import Any

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from race.entries import Entry
from race.figures import percentile
from race.meter import Meter

#: Single units that are not counted: before them, a worker may still start.
WARM_UP = 20
_STUCK = 120.0
_LOOK_EVERY = 0.5


class StuckError(Exception):
    """Nothing moved for two minutes."""


class Course:
    """A run of *entry*, which has begun."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._reactor = entry.place.reactor
        self._connection = psycopg2.connect(entry.database)
        self._connection.autocommit = True

    def close(self) -> None:
        """Close what it looks through."""
        self._connection.close()

    async def singles(self, count: int) -> dict[str, float]:
        """Return how long single units take in an idle system, in milliseconds.

        From before a unit is placed until a second connection, which asks every millisecond, reads
        its success.
        """
        await self._entry.client.ask(f"one {WARM_UP}")
        taken = (await self._entry.client.ask(f"one {count}"))["ms"]
        return {"idle_p50_ms": percentile(taken, 0.5), "idle_p99_ms": percentile(taken, 0.99)}

    async def many(self, units: int) -> dict[str, Any]:
        """Return what *units* units, placed at once, take: the clock includes their placing."""
        # So that no run pays for what an earlier one has left to be written.
        self.sql("CHECKPOINT")
        before = self._count()
        meter = Meter(self._entry.tops(), "PostgreSQL", [self._connection.info.backend_pid])
        looking = LoopingCall(meter.look)
        looking.clock = self._reactor
        began = self._reactor.seconds()
        meter.begin(began)
        looking.start(_LOOK_EVERY, now=False).addErrback(lambda failure: failure.raiseException())
        placing = Deferred.fromCoroutine(self._entry.client.ask(f"many {units}"))
        try:
            ended = await self._until(before + units, began, placing)
        except BaseException:
            placing.addErrback(lambda _: None)  # what went wrong first is what is told
            placing.cancel()
            raise
        finally:
            looking.stop()
        used = meter.end(self._reactor.seconds())
        placed = (await placing)["seconds"]
        return {
            "units": units,
            "intake_s": units / placed,
            "units_s": units / (ended - began),
            "cpu_ms_per_unit": sum(used.cpu.values()) * 1e3 / units,
            "cpu_us_per_unit": {name: cpu * 1e6 / units for name, cpu in used.cpu.items()},
            "rss_mb": dict(used.rss),
            "pss_mb": dict(used.pss),
            "foreign_cores": used.foreign,
        }

    async def intake(self, units: int) -> dict[str, Any]:
        """Return how fast *units* units are placed, and the CPU that it takes."""
        self.sql("CHECKPOINT")
        meter = Meter(self._entry.tops(), "PostgreSQL", [self._connection.info.backend_pid])
        meter.begin(self._reactor.seconds())
        placed = (await self._entry.client.ask(f"many {units}"))["seconds"]
        used = meter.end(self._reactor.seconds())
        return {
            "units": units,
            "intake_s": units / placed,
            "cpu_us_per_unit": {name: cpu * 1e6 / units for name, cpu in used.cpu.items()},
            "rss_mb": dict(used.rss),
            "foreign_cores": used.foreign,
        }

    async def _until(self, wanted: int, began: float, placing: Deferred[Any]) -> float:
        """Return when *wanted* units are done; ask seldom while that is far."""
        first = last = self._count()
        moved = began
        while True:
            await deferLater(self._reactor, pause(wanted - last, last - first, moved - began))
            count, now = self._count(), self._reactor.seconds()
            if count >= wanted:
                return float(now)
            if count > last:
                last, moved = count, now
            if placing.called:
                await placing  # which raises what went wrong, or else returns at once
            if now - moved > _STUCK:
                raise StuckError(f"{self._entry.name}: {wanted - last} units are not done")

    def _count(self) -> int:
        return int(self.sql(self._entry.done)[0][0])

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what the database of the entry says."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []


def pause(left: int, done: int, seconds: float) -> float:
    """Return how long to wait before the next look: a third of what is foreseen, 5 to 500 ms."""
    rate = max(done / seconds if seconds > 0 else 0.0, 200.0)
    return min(max(left / rate / 3, 0.005), 0.5)
