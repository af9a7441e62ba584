"""Runs every part on private servers, one after the other, and says what came of it."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from fair import flood, foresee, full, million, pick
from fair.line import Line, shown
from fair.plot import plot
from rtb.ledger.lane import SESSION
from rtb.ledger.migrations import migrate
from rtb.ledger.queries import QUERIES
from rtb.sandbox import Sandbox
from rtb.settings import Database

ACCOUNTS = 10_000
PARTS = ("flood", "full", "forecast", "million", "pick")


class Bench:
    """What all parts share: the servers, the directory, and the answer."""

    def __init__(self, reactor: Any, sandbox: Sandbox, directory: Path, units: int) -> None:
        self._reactor = reactor
        self._sandbox = sandbox
        self._directory = directory
        self._units = units
        self.answer: dict[str, Any] = {}
        self.first_starts: list[int] = []

    async def _on_a_line(
        self,
        name: str,
        capacity: int,
        slots: int,
        seconds: float,
        measure: Callable[[Line], Awaitable[Any]],
    ) -> Any:
        line = Line(self._reactor, self._sandbox, name, self._directory)
        try:
            await line.begin(capacity, slots, f"coinflip:error=0,seconds={seconds}")
            found = await measure(line)
        finally:
            await line.end()
        shown(part=name, found=found)
        return found

    async def flood(self) -> None:
        """One floods, fifty come."""
        found = await self._on_a_line("flood", 50, flood.SLOTS, 0.2, flood.measure)
        self.first_starts = found.pop("first_starts")
        self.answer |= {key: found[key] for key in ("jain", "worst_first_start_ratio")}

    async def full(self) -> None:
        """Three sizes of N at three rates; and slots that should never stand idle."""
        fills = {}
        for capacity, rate, slots in ((50, 10, 4), (500, 100, 40), (5000, 1000, 400)):
            units = capacity + rate * 40 + 2000
            fills[capacity] = await self._on_a_line(
                f"full_{capacity}", capacity, slots, slots / rate,
                lambda line, units=units: full.tracker_full(line, units),  # type: ignore[misc]
            )  # fmt: skip
        idle, rate = await self._on_a_line(
            "idle", 50, 1000, 1.0, lambda line: full.slot_idle(line, 60_000, 1000)
        )
        self.answer |= {
            "tracker_full": round(min(fills.values()), 4),
            "tracker_fills": {str(n): round(fill, 4) for n, fill in fills.items()},
            "slot_idle": round(idle, 4),
            "slot_idle_rate": round(rate, 1),
        }

    async def forecast(self) -> None:
        """Ask at half-way."""
        self.answer |= await self._on_a_line(
            "foresee", 50, 20, 0.1, lambda line: foresee.forecast_hit(line, Random(5))
        )

    async def million(self) -> None:
        """A million units in one POST, and cancels."""
        self.answer |= await self._on_a_line("million", 50, 8, 0.1, million.measure)

    async def pick(self) -> None:
        """The pick over few units and over very many."""
        picks, claims = {}, {}
        await self._give_memory("1GB")
        for units in (ACCOUNTS, self._units):
            picks[units], claims[units] = await self._pick(units)
            shown(part=f"pick_{units}", pick_ms=picks[units], claim_ms=claims[units])
        few, many = ACCOUNTS, self._units
        self.answer |= {
            "pick_units": many,
            "pick_ms_10m": round(picks[many], 3),
            "pick_ms_10k": round(picks[few], 3),
            "pick_ratio_10m_10k": round(picks[many] / picks[few], 3),
            "claim_ms_10m": round(claims[many], 3),
            "claim_ms_10k": round(claims[few], 3),
            "claim_ratio_10m_10k": round(claims[many] / claims[few], 3),
        }

    async def _give_memory(self, size: str) -> None:
        """Let PostgreSQL keep *size* in memory, as a server does: by itself it takes 128 MB."""
        postgres = self._sandbox.postgres
        await postgres.sql(f"ALTER SYSTEM SET shared_buffers = '{size}'")
        await postgres.stop()
        await postgres.start_again()

    async def _pick(self, units: int) -> tuple[float, float]:
        postgres, name = self._sandbox.postgres, f"pick_{units}"
        await postgres.create_database(name)
        database = Database(
            host=postgres.host, port=postgres.port, user=postgres.user,
            password=postgres.password, name=name,
        )  # fmt: skip
        await migrate(self._reactor, database)
        try:
            times: tuple[float, float] = await deferToThread(
                _time_pick, postgres.url_of(name), units
            )
            return times
        finally:
            await postgres.drop_database(name)


def _time_pick(url: str, units: int) -> tuple[float, float]:
    connection = psycopg2.connect(url, options=SESSION)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            pick.fill(cursor, units, ACCOUNTS)
            warm = min(ACCOUNTS, units // 2) // pick.PLACES
            return pick.time_pick(cursor), pick.time_claim(
                cursor, QUERIES["lock_gate"], QUERIES["claim"], warm=warm
            )
    finally:
        connection.close()


async def run(reactor: Any, options: argparse.Namespace) -> None:
    """Run the parts that *options* name."""
    directory = Path(tempfile.mkdtemp(prefix="rtb-bench-"))
    directory.chmod(0o711)
    sandbox = Sandbox(reactor, directory / "servers", durable=True, management=True)
    try:
        await sandbox.start()
        bench = Bench(reactor, sandbox, directory, options.units)
        for part in PARTS if "all" in options.parts else options.parts:
            began = reactor.seconds()
            await getattr(bench, part)()
            shown(part=part, seconds=round(reactor.seconds() - began))
        if bench.first_starts:
            plot(options.plot, bench.first_starts, flood.SLOTS)
        print(json.dumps(bench.answer))
    finally:
        await sandbox.stop()
        shutil.rmtree(directory)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="bench/fairness", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["all", *PARTS], default="all")
    parser.add_argument("--units", type=int, default=10_000_000, help="waiting units of the pick")
    parser.add_argument("--plot", type=Path, default=Path("docs/fairness.svg"))
    options = parser.parse_args()
    task.react(lambda reactor: Deferred.fromCoroutine(run(reactor, options)))


main()
