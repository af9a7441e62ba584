"""How soon work goes on after one kill in a calm system, and what a calm system costs.

Recovery is counted from the kill to the outcome of the first unit that was *claimed* after it: what
ran already when something died says nothing of that thing's return. Units in doubt are those that
a killed agent ran: until each is settled or waits again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from math import ceil
from typing import Any

import attrs
import psycopg2
from twisted.internet.defer import Deferred

from rtb.chaos.ground import Ground
from rtb.chaos.slot import Slot
from rtb.client import ClientError
from rtb.errors import RtbError

__all__ = ["ROWS", "Fact", "Measured", "Recovery", "doubts", "recovered"]

_OUTCOMES = ("success", "error", "cancelled")
_CLOSING = (*_OUTCOMES, "failed", "returned", "lost", "rescued")
#: Seconds between two units, and that each takes.
_EVERY = 0.2
_TAKES = 0.3
#: Seconds of rest between two kills: a connection that lived shorter than 5 s is tried again later.
_REST = 6.0
#: Seconds after which a recovery that has not come counts as none.
_PATIENCE = 90.0
_EPOCHS = 5

#: A fact of the history: unit, attempt, kind, when (seconds), by whom (an agent's name first).
Fact = tuple[int, int, str, float, str]


@attrs.frozen
class Row:
    """Something that is killed."""

    name: str
    what: str
    #: Seconds within which 95 of 100 recoveries must lie.
    limit: float
    #: Kills for each one that is asked for.
    times: int = 1


ROWS = (
    Row("agent", "agent, with another one present", 2.0, times=2),
    Row("api", "API, started again at once", 3.0),
    Row("standby", "leader, with a standby", 5.0),
    Row("leader", "leader, started again at once", 5.0),
    Row("postgres", "PostgreSQL, started again at once", 5.0),
    Row("rabbit", "RabbitMQ, started again at once", 20.0),
)


@attrs.frozen
class Measured:
    """A line of the table."""

    what: str
    limit: float
    #: Seconds; infinite where it never came.
    found: Sequence[float]

    def at(self, part: float) -> float:
        """Return the time within which *part* of all lie."""
        ordered = sorted(self.found)
        return ordered[ceil(part * len(ordered)) - 1]

    @property
    def held(self) -> bool:
        """Is it as promised?"""
        return bool(self.found) and self.at(0.95) <= self.limit

    def __str__(self) -> str:
        if not self.found:
            return f"| {self.what} | 0 | | | | {self.limit:g} s | nothing measured |"
        p50, p95, most = (f"{self.at(part):.2f} s" for part in (0.5, 0.95, 1.0))
        verdict = "yes" if self.held else "NO"
        return (
            f"| {self.what} | {len(self.found)} | {p50} | {p95} | {most} "
            f"| {self.limit:g} s | {verdict} |"
        )


def recovered(facts: Iterable[Fact], killed_at: float) -> float | None:
    """Return the seconds to the first outcome of an attempt claimed after *killed_at*."""
    claimed: set[tuple[int, int]] = set()
    for unit, attempt, kind, at, _ in facts:
        if kind == "claimed" and at > killed_at:
            claimed.add((unit, attempt))
        elif kind in _OUTCOMES and (unit, attempt) in claimed:
            return at - killed_at
    return None


def doubts(facts: Iterable[Fact], killed_at: float, agent: str) -> list[float]:
    """Return for each attempt that *agent* ran at *killed_at* the seconds until it was closed."""
    running: set[tuple[int, int]] = set()
    found: list[float] = []
    for unit, attempt, kind, at, who in facts:
        if kind == "processing" and who.partition("/")[0] == agent and at <= killed_at:
            running.add((unit, attempt))
        elif kind in _CLOSING and (unit, attempt) in running:
            running.discard((unit, attempt))
            if at > killed_at:
                found.append(at - killed_at)
    return found + [float("inf")] * len(running)


class Recovery:
    """Feeds the system on *ground*, which has two leaders and two agents, and kills in it.

    :param kills: of each row
    :param now: the time of day in seconds, as PostgreSQL has it
    """

    def __init__(self, ground: Ground, kills: int, now: Callable[[], float]) -> None:
        self._ground = ground
        self._kills = kills
        self._now = now
        self._fed = 0
        #: Seconds from each kill of a server until it answered again, which no rtb can shorten.
        self._starts: list[float] = []
        self._feeding = False

    async def calm(self, seconds: float) -> list[str]:
        """Let units run for *seconds* without a fault; return what is not as it must be."""
        await self._fed_for(self._pause(seconds))
        summary = await self._ground.until(lambda it: it.units.settled == it.units.total)
        starts = self._ground.starts()
        self._ground.say(
            f"without faults: {summary.units.total} units, {len(starts)} executions, "
            f"{len(starts) / summary.units.total:.2f} per unit"
        )
        if len(starts) != summary.units.total or len(set(starts)) != len(starts):
            return ["without faults each unit must run exactly once"]
        return []

    async def row(self, row: Row) -> list[Measured]:
        """Kill as often as *row* wants; return its lines of the table."""
        found: list[float] = []
        kills: list[tuple[float, str]] = []
        self._starts = []
        if row.name == "leader":
            await self._leave_one_leader()

        async def course() -> None:
            for number in range(self._kills * row.times):
                await self._pause(_REST if row.name in ("postgres", "rabbit") else _REST / 2)
                kills.append(await self._kill(row.name, number))
                found.append(await self._recovery(kills[-1][0]))
                self._ground.say(f"{row.what}, kill {number + 1}: {found[-1]:.2f} s")

        await self._fed_for(course())
        what = row.what
        if self._starts:
            start = Measured("", 0.0, self._starts)
            what += f" (until it answers: {start.at(0.5):.1f} to {start.at(1.0):.1f} s)"
        lines = [Measured(what, row.limit, found)]
        if row.name == "agent":
            lines.append(await self._in_doubt(kills))
        return lines

    # ---- killing

    async def _kill(self, name: str, number: int) -> tuple[float, str]:
        system, sandbox = self._ground.system, self._ground.sandbox
        match name:
            case "postgres" | "rabbit":
                at = self._now()
                server = sandbox.postgres if name == "postgres" else sandbox.rabbit
                await server.kill()
                await server.start_again()
                self._starts.append(self._now() - at)
                return at, name
            case "agent":
                slot = self._busy_agent(number)
            case "api":
                slot = system.slot("api-0")
            case _:
                slot = self._ground.leading()
        at = self._now()
        slot.kill()
        return at, slot.name

    def _busy_agent(self, number: int) -> Slot:
        agents = self._ground.system.of_kind("agent")
        return agents[number % len(agents)]

    async def _leave_one_leader(self) -> None:
        leading = self._ground.leading()
        for slot in self._ground.system.of_kind("leader"):
            if slot is not leading:
                await slot.stop()

    # ---- looking

    async def _recovery(self, killed_at: float) -> float:
        end = self._ground.reactor.seconds() + _PATIENCE
        while self._ground.reactor.seconds() < end:
            took = recovered(await self._facts(_RECENT), killed_at)
            if took is not None:
                return took
            await self._pause(0.2)
        return float("inf")

    async def _in_doubt(self, kills: Sequence[tuple[float, str]]) -> Measured:
        limit = _EPOCHS * self._ground.shape.epoch
        # Nothing is fed any more: when all is settled, nothing is in doubt.
        await self._ground.until(
            lambda it: it.units.settled == it.units.total, limit=limit + _PATIENCE
        )
        facts = await self._facts(_ALL)
        found = [took for at, agent in kills for took in doubts(facts, at, agent)]
        return Measured("units that a killed agent ran: settled or waiting again", limit, found)

    async def _facts(self, statement: str) -> list[Fact]:
        try:
            return [
                (unit, attempt, kind, at, who)
                for unit, attempt, kind, at, who in await self._ground.sql(statement)
            ]
        except psycopg2.Error:
            return []  # PostgreSQL is what is being killed

    # ---- feeding

    async def _fed_for(self, course: Awaitable[Any]) -> None:
        """Feed while *course* lasts."""
        self._feeding = True
        feeding = Deferred.fromCoroutine(self._feed())
        try:
            await course
        finally:
            self._feeding = False
            await feeding

    async def _feed(self) -> None:
        while self._feeding:
            self._fed += 1
            payload = {"seconds": _TAKES, "end": "success"}
            order = {"name": f"order-{self._fed}", "units": [{"payload": payload}]}
            # Placed or not, where a server is away: the next one is another order.
            with suppress(RtbError, ClientError):
                await self._ground.client.place(order)
            await self._pause(_EVERY)

    def _pause(self, seconds: float) -> Deferred[None]:
        return self._ground.pause(seconds)


_ALL = """
SELECT unit_id, attempt, kind::text, extract(epoch FROM at)::float8, who FROM history ORDER BY id
"""
_RECENT = """
SELECT unit_id, attempt, kind::text, extract(epoch FROM at)::float8, who
  FROM history WHERE at > now() - interval '100 s' ORDER BY id
"""
