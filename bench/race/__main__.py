"""Runs rtb and its peers in turn, on one pair of private servers, and compares their medians."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from race.course import Course
from race.entries import PEERS, Entry, PeerEntry, Place, Rtb, Wire
from race.figures import medians, summary, table
from race.installs import Installed, NotInstalledError, install
from race.plot import plot
from race.stage import Progress, emit, on_servers, say, settings

#: These two are no systems: an order of very many units, and a single unit's way with little else.
INTAKE, WIRE = "intake", "wire"
EVERYTHING = ("rtb", "pg-boss", WIRE, "rtb-defaults", "dramatiq", "celery", INTAKE)
#: The N and the slots of rtb's entries; the second are its defaults.
SHAPES = {"rtb": (2000, 1000), "rtb-defaults": (50, 8)}
#: Seconds after which no further round begins that would not end by then.
LIMIT, QUICK_LIMIT = 24 * 60.0, 280.0


@attrs.frozen
class Amount:
    """How much of what a system is given."""

    units: int
    singles: int
    #: Seconds that a run is foreseen to take, its start and end included.
    seconds: float


FULL = {
    "rtb": Amount(50_000, 200, 30),
    "pg-boss": Amount(50_000, 200, 20),
    WIRE: Amount(1, 200, 9),
    "rtb-defaults": Amount(5_000, 50, 15),
    "dramatiq": Amount(5_000, 100, 20),
    "celery": Amount(5_000, 100, 40),
    INTAKE: Amount(1_000_000, 0, 45),
}
QUICK = {
    "rtb": Amount(50_000, 100, 20),
    "pg-boss": Amount(50_000, 100, 15),
    WIRE: Amount(1, 100, 6),
    "rtb-defaults": Amount(2_000, 20, 12),
    "dramatiq": Amount(1_000, 20, 10),
    "celery": Amount(1_000, 20, 15),
    INTAKE: Amount(200_000, 0, 15),
}


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="at most 5 minutes, not 25")
    parser.add_argument("--rounds", type=_positive, default=3, help="runs of each (3)")
    parser.add_argument(
        "--only", nargs="+", choices=EVERYTHING, default=[*EVERYTHING],
        metavar="SYSTEM", help="some of: " + ", ".join(EVERYTHING),
    )  # fmt: skip
    parser.add_argument("--scale", type=float, default=1.0, help="times as many units (1)")
    parser.add_argument("--strict", action="store_true",
                        help="end at once if a peer cannot be installed")  # fmt: skip
    parser.add_argument("--plot", type=Path, help="where to; none with --quick unless given")
    given = parser.parse_args(words)
    given.amounts = {
        name: attrs.evolve(amount, units=max(1, round(amount.units * given.scale)))
        for name, amount in (QUICK if given.quick else FULL).items()
    }
    whole = not given.quick and given.scale == 1.0 and {*given.only} == {*EVERYTHING}
    if given.plot is None and whole:
        given.plot = Path("docs/performance.svg")
    return given


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


class Race:
    """All rounds."""

    def __init__(
        self, place: Place, given: argparse.Namespace, installed: dict[str, Installed]
    ) -> None:
        self._place = place
        self._amounts: dict[str, Amount] = given.amounts
        self._installed = installed
        self._names = [name for name in given.only if name not in PEERS or name in installed]
        self._rounds = given.rounds
        self._until = given.until
        self.runs: dict[str, list[dict[str, Any]]] = {name: [] for name in self._names}

    async def run(self) -> None:
        """Let everybody run in turn, as often as there are rounds."""
        expected = {name: self._amounts[name].seconds for name in self._names}
        steps = self._names * self._rounds
        progress = Progress(self._place.reactor.seconds, steps, expected)
        for number in range(1, self._rounds + 1):
            if number > 1 and time.monotonic() + progress.left(len(self._names)) > self._until:
                say(f"!!! ONLY {number - 1} ROUNDS: another one would take too long")
                break
            for name in self._names:
                progress.begins()
                found = await self._once(name, number)
                self.runs[name].append(found)
                emit(run=name, round=number, **found)
                progress.ended(_in_short(found))

    async def _once(self, name: str, number: int) -> dict[str, Any]:
        entry = self._entry(name, f"{name.replace('-', '_')}_{number}")
        amount = self._amounts[name]
        try:
            await entry.begin()
            course = Course(entry)
            try:
                if name == INTAKE:
                    return await course.intake(amount.units)
                singles = await course.singles(amount.singles)
                if name == WIRE:
                    return singles
                return await course.many(amount.units) | singles
            finally:
                course.close()
        finally:
            await entry.end()

    def _entry(self, name: str, database: str) -> Entry:
        if name in self._installed:
            return PeerEntry(self._place, database, PEERS[name], self._installed[name])
        if name == WIRE:
            return Wire(self._place, database)
        capacity, slots = SHAPES.get(name, SHAPES["rtb"])
        going = name != INTAKE
        return Rtb(self._place, database, capacity=capacity, slots=slots, going=going)


def _in_short(found: dict[str, Any]) -> str:
    said = []
    if "units_s" in found:
        cpu = found["cpu_ms_per_unit"]
        said.append(f"{found['units_s']:,.0f} units/s, {cpu:.3f} ms of CPU each")
    elif "intake_s" in found:
        said.append(f"{found['intake_s']:,.0f} units/s taken in")
    if "idle_p50_ms" in found:
        said.append(f"idle p50 {found['idle_p50_ms']:.1f} ms, p99 {found['idle_p99_ms']:.1f} ms")
    return "; ".join(said)


def installations(given: argparse.Namespace) -> dict[str, Installed]:
    """Return the peers that could be installed; say loudly which could not."""
    installed = {}
    for name in given.only:
        if name not in PEERS:
            continue
        say(f"installing {name}, unless it is there")
        try:
            installed[name] = install(name)
        except NotInstalledError as problem:
            say(f"\n!!! {name} CANNOT BE INSTALLED, so it is not compared with:\n{problem}\n")
            if given.strict:
                raise SystemExit(1) from None
    return installed


async def compare(place: Place, given: argparse.Namespace, installed: dict[str, Installed]) -> int:
    """Run, print everything, and return the exit code: 1 where a peer is missing."""
    race = Race(place, given, installed)
    emit(
        settings=await settings(place.sandbox),
        shapes={name: {"N": n, "slots": slots} for name, (n, slots) in SHAPES.items()},
        peers={name: dict(one.versions) for name, one in installed.items()},
        amounts={name: attrs.asdict(race_amount) for name, race_amount in given.amounts.items()},
        rounds=given.rounds,
    )
    await race.run()
    found = {name: medians(runs) for name, runs in race.runs.items()}
    for name, of_all in found.items():
        emit(median=name, **of_all)
    intake, wire = found.pop(INTAKE, None), found.pop(WIRE, None)
    say("\n" + table(found))
    if wire is not None:
        say(f"\nthe wire alone: {_in_short(wire)}")
    if intake is not None:
        say(f"\nan order of {intake['units']:,.0f} named units: {intake['intake_s']:,.0f} units/s")
    missing = [name for name in given.only if name in PEERS and name not in installed]
    if missing:
        say(f"\n!!! NOT COMPARED WITH {', '.join(missing)}: not installed, see above")
    if given.plot is not None and found:
        plot(given.plot, found)
        say(f"\nthe plot is {given.plot}")
    rounds = min(len(runs) for runs in race.runs.values())
    emit(**summary(found, intake and intake["intake_s"], wire), rounds=rounds, missing=missing)
    return 1 if missing else 0


def main() -> None:
    """Read the command line, install and run."""
    given = options()
    given.until = time.monotonic() + (QUICK_LIMIT if given.quick else LIMIT)
    installed = installations(given)
    on_servers(lambda place: compare(place, given, installed))


if __name__ == "__main__":
    main()
