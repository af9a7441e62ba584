"""A unit's history: the ledger's order of events stays, and deeds come at their times."""

from __future__ import annotations

from typing import Any

from rtb.ledger.timeline import merged


def _event(at: int, kind: str, attempt: int = 1) -> dict[str, Any]:
    return {"at": at, "kind": kind, "round": 1, "attempt": attempt, "who": "", "ran": None}


def _deed(at: int, verb: str, *, whole: bool = True, why: str = "") -> dict[str, Any]:
    return {"at": at, "verb": verb, "whole": whole, "why": why, "priority": 3}


def _told(history: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(moment["at"], moment["kind"], moment["attempt"]) for moment in history]


def test_deeds_come_at_their_times() -> None:
    events = [_event(2, "claimed"), _event(4, "returned"), _event(6, "claimed", 2)]
    deeds = [_deed(1, "hold", why="clouds"), _deed(5, "release"), _deed(9, "priority")]
    history = merged(events, deeds)
    assert _told(history) == [
        (1, "held", 0),
        (2, "claimed", 1),
        (4, "returned", 1),
        (5, "released", 1),
        (6, "claimed", 2),
        (9, "prioritized", 2),
    ]
    assert history[0]["why"] == "clouds"
    assert "why" not in history[3]
    assert [moment.get("priority") for moment in history][-2:] == [None, 3]


def test_the_order_of_events_stays_whatever_their_times_say() -> None:
    events = [_event(5, "claimed"), _event(3, "processing"), _event(8, "success")]
    assert _told(merged(events, [_deed(4, "hold")])) == [
        (4, "held", 0),
        (5, "claimed", 1),
        (3, "processing", 1),
        (8, "success", 1),
    ]


def test_what_is_done_to_an_order_does_not_concern_a_unit_that_is_over() -> None:
    events = [_event(2, "claimed"), _event(3, "success"), _event(7, "retried")]
    deeds = [_deed(4, "hold"), _deed(5, "priority", whole=False), _deed(8, "release")]
    assert [moment["kind"] for moment in merged(events, deeds)] == [
        "claimed",
        "success",
        "prioritized",
        "retried",
        "released",
    ]
