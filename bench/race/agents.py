"""1, 10 and 100 agents of one leader, then 2 and 4 leaders with a box each: where is the knee?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from race.course import Course
from race.entries import Place, Rtb
from race.figures import PROCESSES, by_process, knee, markdown
from race.stage import Progress, emit, on_servers, say, settings

CAPACITY, SLOTS = 2000, 1000
#: (agents, leaders); all slots together are always the same number.
CASES = ((1, 1), (10, 1), (100, 1), (2, 2), (4, 4))


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench/agents", description=__doc__)
    parser.add_argument("--units", type=int, default=20_000)
    parser.add_argument("--most", type=int, default=100, help="agents at most")
    return parser.parse_args(words)


async def _measure(place: Place, agents: int, boxes: int, units: int) -> dict[str, Any]:
    entry = Rtb(
        place, f"agents_{agents}_{boxes}", capacity=CAPACITY, slots=SLOTS // agents,
        agents=agents, boxes=boxes,
    )  # fmt: skip
    try:
        await entry.begin()
        course = Course(entry)
        try:
            await entry.client.ask("one 5")
            return {"agents": agents, "leaders": boxes} | await course.many(units)
        finally:
            course.close()
    finally:
        await entry.end()


async def run(place: Place, given: argparse.Namespace) -> int:
    """Measure each case, and print what came out."""
    emit(settings=await settings(place.sandbox), N=CAPACITY, slots=SLOTS, units=given.units)
    cases = {
        f"{agents} agents, {boxes} leaders": (agents, boxes)
        for agents, boxes in CASES
        if agents <= given.most
    }
    # A process takes about half a second to start where two cores are shared by all.
    expected = {name: 15 + 0.6 * (agents + boxes) for name, (agents, boxes) in cases.items()}
    progress = Progress(place.reactor.seconds, list(cases), expected)
    found = []
    for name, (agents, boxes) in cases.items():
        progress.begins()
        found.append(await _measure(place, agents, boxes, given.units))
        emit(run=name, **found[-1])
        progress.ended(f"{found[-1]['units_s']:,.0f} units/s")
    head = [
        "agents",
        "leaders",
        "units/s",
        "CPU ms/unit",
        "agents' RSS MB",
        "other cores",
        *PROCESSES,
    ]
    rows = [
        [
            str(one["agents"]),
            str(one["leaders"]),
            f"{one['units_s']:,.0f}",
            f"{one['cpu_ms_per_unit']:.3f}",
            f"{one['rss_mb']['agent']:,.0f}",
            f"{one['foreign_cores']:.2f}",
            *by_process(one["cpu_us_per_unit"]),
        ]
        for one in found
    ]
    say("\n" + "\n".join(markdown(head, rows)) + "\n(processes: µs of CPU per unit)")
    by_agents = {one["agents"]: one["units_s"] for one in found if one["leaders"] == 1}
    by_leaders = {one["leaders"]: one["units_s"] for one in found if one["agents"] <= 4}
    emit(
        units_s_by_agents=by_agents, knee_agents=knee(by_agents),
        units_s_by_leaders=by_leaders, knee_leaders=knee(by_leaders),
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    _given = options()
    on_servers(lambda place: run(place, _given))
