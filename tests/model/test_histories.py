"""Random histories of the protocol: it holds, and each mechanism taken away breaks it."""

from __future__ import annotations

import pytest
from histories import World
from histories_parts import UNITS, BrokenError


def _broken(off: str, seeds: range, faults: str = "all") -> str:
    """Return what breaks first without a mechanism."""
    for seed in seeds:
        try:
            world = World(seed, off, faults).run()
        except BrokenError as problem:
            return str(problem)
        if faults == "leaders" and world.given_up:
            return "a running unit was given up"
    return ""


def test_the_protocol_holds() -> None:
    stale = executions = 0
    for seed in range(60):
        world = World(seed).run()
        stale += world.stale
        executions += sum(world.ran.values())
    assert stale > 60, "the fence was never used"
    assert executions < 60 * UNITS * 1.6


def test_a_leaders_absence_costs_no_running_unit() -> None:
    assert _broken("", range(20), "leaders") == ""


@pytest.mark.parametrize(
    ("off", "breaks"),
    [
        ("fence", ("two outcomes", "a result", "over the bound", "an attempt")),
        ("attempt", ("over the bound",)),
        ("rescue", ("stuck",)),
        ("names", ("stuck",)),
        ("gate", ("over the bound",)),
        ("republish", ("an attempt ran twice",)),
        ("redelivered", ("an attempt ran twice",)),
        ("cap", ("tracker over the bound",)),
    ],
)
def test_without(off: str, breaks: tuple[str, ...]) -> None:
    assert _broken(off, range(100)).startswith(breaks)


def test_without_agents_that_vouch_for_themselves() -> None:
    assert _broken("selfvouch", range(20), "leaders") == "a running unit was given up"
