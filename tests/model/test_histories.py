"""Random histories of the protocol: it holds, and each mechanism taken away breaks it."""

from __future__ import annotations

import pytest
from histories import World
from histories_parts import UNITS, BrokenError


def _broken(off: tuple[str, ...], seeds: range, faults: str = "all") -> str:
    """Return what breaks first without some mechanisms."""
    for seed in seeds:
        try:
            world = World(seed, off, faults).run()
        except BrokenError as problem:
            return str(problem)
        if faults == "leaders" and world.given_up:
            return "a running unit was given up"
        if faults == "doubt" and world.for_nothing:
            return "a unit ran for nothing"
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
    assert _broken((), range(20), "leaders") == ""


# To ask first, of what was claimed for another leader, hides most of what some of these prevent.
@pytest.mark.parametrize(
    ("off", "breaks"),
    [
        (("fence",), ("two outcomes", "a result", "over the bound", "an attempt")),
        (("attempt", "for another"), ("over the bound",)),
        (("rescue",), ("stuck",)),
        (("names",), ("stuck",)),
        (("gate",), ("over the bound",)),
        (("republish", "for another"), ("an attempt ran twice",)),
        (("redelivered", "for another"), ("an attempt ran twice",)),
        (("cap",), ("tracker over the bound",)),
    ],
)
def test_without(off: tuple[str, ...], breaks: tuple[str, ...]) -> None:
    assert _broken(off, range(100)).startswith(breaks)


def test_without_agents_that_vouch_for_themselves() -> None:
    assert _broken(("selfvouch",), range(20), "leaders") == "a running unit was given up"


def test_a_leader_that_is_in_doubt_hands_out_nothing_that_was_given_up() -> None:
    assert _broken((), range(30), "doubt") == ""


@pytest.mark.parametrize("off", ["for another", "stood still", "meanwhile", "hasty"])
def test_without_doubt(off: str) -> None:
    """It does not doubt one of three kinds of units, or only until the broker has the report."""
    assert _broken((off,), range(20), "doubt") == "a unit ran for nothing"
