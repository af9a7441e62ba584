"""Every failpoint has its turn, whatever the seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rtb.chaos.coverage import EXPECTED_LOSSES, Coverage, needs
from rtb.chaos.slot import End, Slot
from rtb.chaos.tiers import TIERS
from rtb.failpoint import POINTS, read

NOTHING: Any = None


@pytest.mark.parametrize("seed", range(20))
def test_lives_that_meet_what_they_are_armed_with_meet_all(seed: int, tmp_path: Path) -> None:
    coverage = Coverage(Random(seed), needs({}, 1, 1, Random(seed)))
    slots = [
        Slot(NOTHING, f"{kind}-{number}", kind, {}, tmp_path)
        for kind in ("api", "leader", "agent")
        for number in range(2)
    ]
    assert [coverage.choose(slot) for slot in slots] == [""] * 6
    coverage.hurry()
    lives = 0
    while coverage.missing:
        for slot in slots:
            armed = read(coverage.choose(slot))
            deadly = [point for point in armed if point in POINTS]
            assert coverage.wants(slot) is bool(deadly)
            # In every other life nothing comes of it: it has to be armed again, and more surely.
            lives += 1
            lost = tuple(point for point in armed if point not in POINTS)
            met = lives % 2 == 0 and deadly
            coverage.ended(
                End(
                    0.0, slot.name, slot.kind, deadly[0] if met else "kill", "", lost if met else ()
                )
            )
        assert lives < 200
    assert set(coverage.met) == {*POINTS, *EXPECTED_LOSSES}
    assert coverage.unmet == []
    coverage.end()
    assert coverage.choose(slots[0]) == ""


def test_some_lives_are_left_alone(tmp_path: Path) -> None:
    coverage = Coverage(Random(1), {"g1": 1})
    coverage.begin()
    slot = Slot(NOTHING, "agent-0", "agent", {}, tmp_path)
    assert {coverage.choose(slot) for _ in range(99)} == {"", "g1:0.25"}


def test_what_was_missed_comes_for_sure_next_time(tmp_path: Path) -> None:
    coverage = Coverage(Random(1), {"g1": 1})
    coverage.hurry()
    slot = Slot(NOTHING, "agent-0", "agent", {}, tmp_path)
    assert read(coverage.choose(slot)) == {"g1": 0.25}
    coverage.ended(End(0.0, "agent-0", "agent", "kill", ""))
    assert read(coverage.choose(slot)) == {"g1": 1.0}


def test_runs_share_what_a_tier_needs() -> None:
    tier = TIERS["nightly"]
    met: Counter[str] = Counter()
    most = 0
    for number in range(tier.runs):
        needed = needs(met, tier.failpoints, tier.runs - number, Random(number))
        most = max(most, sum(needed.values()))
        met += needed
    assert {met[point] for point in (*POINTS, *EXPECTED_LOSSES)} == {tier.failpoints}
    assert most <= 5


@pytest.mark.parametrize(
    ("name", "roles", "servers"), [("push", 17, 5), ("nightly", 600, 75), ("release", 2000, 1000)]
)
def test_no_tier_has_fewer_kills_than_it_says(name: str, roles: int, servers: int) -> None:
    tier = TIERS[name]
    faults: Counter[str] = Counter()
    for seed in range(tier.runs):
        faults.update(tier.of_run(seed).faults)
    one = ("kill api", "kill leader", "kill agent")
    assert sum(faults[kill] for kill in one) + 2 * faults["kill two roles"] >= roles
    kills = faults["kill postgres"] + faults["kill rabbit"] + faults["wipe rabbit"]
    assert kills + 2 * faults["kill both servers"] >= servers
    for fault in ("wipe rabbit", "memory alarm", "freeze postgres"):
        assert faults[fault] >= tier.runs // 3
