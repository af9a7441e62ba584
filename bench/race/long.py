"""10,000 units of a second on 100 slots: how much of the slots' time is lost?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from race.course import Course
from race.entries import Place, Rtb
from race.figures import PROCESSES, by_process, markdown, slot_time_lost
from race.pauses import SECONDS
from race.stage import Progress, emit, on_servers, say, settings

CAPACITY = 2000
WORKLOADS = {
    "command": f"command:sleep {SECONDS:g}",
    "python": "python:race.pauses:plain",
    "async": "python:race.pauses:reactive",
}
_ENDS = """
SELECT extract(epoch FROM e.at)::float8, e.ran FROM events e
  JOIN units u ON u.id = e.unit_id JOIN counters c ON c.kind = 'order' AND c.id = u.order_id
 WHERE e.kind = 'success' AND c.success > 1"""


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench/long", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=WORKLOADS, default=["command", "python"])
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=100)
    given = parser.parse_args(words)
    if given.slots < 1 or given.units < 3 * given.slots:
        parser.error("at least three units for each slot")
    return given


async def _measure(place: Place, kind: str, units: int, slots: int) -> dict[str, Any]:
    entry = Rtb(place, f"long_{kind}", capacity=CAPACITY, slots=slots, workload=WORKLOADS[kind])
    try:
        await entry.begin()
        course = Course(entry)
        try:
            # Imports are done, and the first children are there.
            await entry.client.ask("one 1")
            found = await course.many(units)
            ends, ran = zip(*course.sql(_ENDS), strict=True)
        finally:
            course.close()
    finally:
        await entry.end()
    first = min(end - took for end, took in zip(ends, ran, strict=True))
    return found | {
        "lost_percent": 100 * slot_time_lost(ends, slots, SECONDS),
        "whole_percent": 100 * (1 - units * SECONDS / (slots * (max(ends) - first))),
        "ran_mean_s": sum(ran) / len(ran),
    }


async def run(place: Place, given: argparse.Namespace) -> int:
    """Measure each kind, and print what came out."""
    emit(settings=await settings(place.sandbox), N=CAPACITY, slots=given.slots)
    about = given.units * SECONDS / given.slots + 12
    progress = Progress(place.reactor.seconds, given.kinds, dict.fromkeys(given.kinds, about))
    found = {}
    for kind in given.kinds:
        progress.begins()
        found[kind] = await _measure(place, kind, given.units, given.slots)
        emit(run=kind, **found[kind])
        progress.ended(f"{found[kind]['lost_percent']:.2f} % of slot time lost")
    head = ["kind", "slot time lost", "with both edges", "a unit ran", "other cores", *PROCESSES]
    rows = [
        [
            kind,
            f"{one['lost_percent']:.2f} %",
            f"{one['whole_percent']:.2f} %",
            f"{one['ran_mean_s'] * 1000:.1f} ms",
            f"{one['foreign_cores']:.2f}",
            *by_process(one["cpu_us_per_unit"]),
        ]
        for kind, one in found.items()
    ]
    say("\n" + "\n".join(markdown(head, rows)) + "\n(processes: µs of CPU per unit)")
    emit(lost_percent={kind: one["lost_percent"] for kind, one in found.items()})
    return 0


if __name__ == "__main__":
    _given = options()
    on_servers(lambda place: run(place, _given))
