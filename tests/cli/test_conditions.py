"""When ``rtb watch`` ends."""

from __future__ import annotations

import pytest

from rtb.cli.conditions import USUAL, Condition, read, verdict

NAMES = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled")


def units(**counts: int) -> dict[str, int]:
    return {**dict.fromkeys(NAMES, 0), **counts, "total": sum(counts.values())}


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("all,success,0", Condition("all", "success", 0)),
        ("any,error,3", Condition("any", "error", 3)),
        ("none,waiting", Condition("none", "waiting", 0)),
        ("all,done,125", Condition("all", "done", 125)),
    ],
)
def test_conditions_are_read(text: str, condition: Condition) -> None:
    assert read(text) == condition


@pytest.mark.parametrize(
    "text", ["", "all", "some,error,1", "all,lost,1", "all,done,x", "all,done,-1", "all,done,126"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write all|at most 125"):
        read(text)


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        ({"success": 3}, 0),
        ({"success": 2, "error": 1}, 3),
        ({"success": 2, "processing": 1}, None),
        ({"success": 2, "cancelled": 1}, 3),
        ({}, 0),
    ],
)
def test_how_it_ends_usually(counts: dict[str, int], code: int | None) -> None:
    assert verdict(USUAL, units(**counts)) == code


def test_the_first_that_holds_counts() -> None:
    conditions = [read("all,success,0"), read("any,error,7"), read("none,queued,9")]
    assert verdict(conditions, units(error=1, queued=1)) == 7
    assert verdict(conditions, units(sent=1)) is None
    assert verdict(conditions, units(waiting=1)) == 9
