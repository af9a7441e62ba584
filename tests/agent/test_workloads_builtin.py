from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from twisted.internet.task import Clock

from rtb.agent.workloads import Failed, Stopped, Succeeded, make_workload, make_workloads
from rtb.errors import ConfigurationError


def outcomes(workload: Any, unit: Any, count: int) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for _ in range(count):
        workload.start(unit()).done.addCallback(lambda outcome: found.update([outcome]))
    return found


def test_noop_has_ended_when_it_starts(unit: Any) -> None:
    workload = make_workload(Clock(), "noop", slots=1, random=random.Random(1))
    assert outcomes(workload, unit, 3) == {Succeeded(b"null"): 3}
    workload.start(unit()).stop()


def test_coin_flip_lands_at_once_without_seconds(unit: Any) -> None:
    clock = Clock()
    spec = "coinflip:error=0.25,seconds=0"
    workload = make_workload(clock, spec, slots=1, random=random.Random(1))
    found = outcomes(workload, unit, 4000)
    edge = Failed("the coin landed on its edge", "", permanent=True)
    assert found.total() == 4000
    assert 900 < found[edge] < 1100
    assert 1350 < found[Succeeded(b'{"coin":"heads"}')] < 1650
    assert clock.getDelayedCalls() == []


def test_coin_flip_takes_its_time(unit: Any) -> None:
    clock = Clock()
    workload = make_workload(clock, "coinflip", slots=1, random=random.Random(1))
    found = outcomes(workload, unit, 100)
    clock.advance(0.09)
    assert found.total() == 0
    clock.advance(0.11)
    assert 30 < found.total() < 70
    clock.advance(0.11)
    assert found.total() == 100


def test_coin_flip_has_a_limit(unit: Any) -> None:
    clock = Clock()
    workload = make_workload(clock, "coinflip:seconds=100", slots=1, random=random.Random(1))
    done = workload.start(unit(limit=1.5)).done
    clock.advance(1.6)
    assert done.result == Failed("timed out after 1.5 s", "", permanent=False)


def test_coin_flip_stops(unit: Any) -> None:
    clock = Clock()
    workload = make_workload(clock, "coinflip", slots=1, random=random.Random(1))
    running = workload.start(unit())
    running.stop()
    running.stop()
    assert running.done.result == Stopped()
    assert clock.getDelayedCalls() == []


def test_the_coin_flip_is_always_offered() -> None:
    workloads = make_workloads(
        Clock(),
        {"mine": "coinflip:error=1", "n": "noop"},
        slots=1,
        random=random.Random(1),
    )
    assert list(workloads) == ["coinflip", "mine", "n"]
    assert (workloads["coinflip"].error, workloads["coinflip"].seconds) == (0.1, 0.2)
    assert workloads["mine"].error == 1


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "is none of"),
        ("rm -rf", "is none of"),
        ("noop:1", "is none of"),
        ("coinflip:error=2", "error=2 must be a number from 0 to 1"),
        ("coinflip:error=nan", "error=nan must be"),
        ("coinflip:seconds=-1", "seconds=-1 must be"),
        ("coinflip:sides=2", "coinflip has error=RATIO and seconds=N, not 'sides=2'"),
        ("coinflip:error=0,error=1", "not 'error=1'"),
        ("command:", "names no program"),
        ("command:'", "cannot be split into words"),
        ("command:no-such-program-here x", "there is no program 'no-such-program-here'"),
        ("command:/etc/passwd", "there is no program '/etc/passwd'"),
        ("python:functions", "is not python:MODULE:FUNCTION"),
        ("python:functions:echo()", "is not python:MODULE:FUNCTION"),
        ("python:no_such_module:run", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("python:functions:no_such", "AttributeError: module 'functions' has no"),
        ("python:functions:NO_FUNCTION", "functions:NO_FUNCTION is no function"),
        ("python:imports_badly:run", r"ended its process \(exit code 9\): cannot start here"),
    ],
)
def test_bad_specs_are_one_clear_line(reactor: Any, spec: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        make_workloads(reactor, {"w": spec}, slots=1, random=random.Random(1))
    text = str(caught.value)
    assert text.startswith(f"RTB_WORKLOADS: w={spec}: ")
    assert "\n" not in text
