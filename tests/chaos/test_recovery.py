"""What ``rtb chaos recovery`` makes of a history."""

from __future__ import annotations

from math import inf

from rtb.chaos.recovery import Fact, Measured, doubts, recovered

_HISTORY: list[Fact] = [
    (1, 1, "claimed", 1.0, "outbox"),
    (1, 1, "processing", 1.5, "a/11"),
    (2, 1, "claimed", 2.0, "outbox"),
    (2, 1, "processing", 2.5, "a/11"),
    (3, 1, "claimed", 3.5, "outbox"),
    (1, 1, "success", 3.6, "a/11"),
    (3, 1, "processing", 4.0, "b/12"),
    (3, 1, "success", 4.5, "b/12"),
    (2, 1, "rescued", 9.0, ""),
    (2, 2, "claimed", 9.0, "outbox"),
]


def test_only_what_was_claimed_afterwards_tells_of_recovery() -> None:
    assert recovered(_HISTORY, 3.0) == 1.5
    assert recovered(_HISTORY, 4.0) is None


def test_what_the_killed_agent_ran_is_in_doubt_until_it_is_closed() -> None:
    assert doubts(_HISTORY, 3.7, "a") == [9.0 - 3.7]
    assert doubts(_HISTORY[:-2], 3.7, "a") == [inf]
    assert doubts(_HISTORY, 1.2, "a") == []


def test_a_line_holds_by_its_95th_part() -> None:
    assert Measured("x", 2.0, [1.0] * 19 + [5.0]).at(1.0) == 5.0
    assert Measured("x", 2.0, [1.0] * 19 + [5.0]).held
    assert not Measured("x", 2.0, [1.0] * 18 + [5.0]).held
    assert not Measured("x", 2.0, []).held
