from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rtb.model.diagram import mermaid
from rtb.model.lifecycle import (
    CLOSING,
    IN_FLIGHT,
    MOVES,
    ON_THE_WAY,
    OUTCOMES,
    Kind,
    Status,
    next_status,
    rank,
)

DOCS = Path(__file__).parents[2] / "docs" / "lifecycle.md"


def reachable(start: Status) -> set[Status]:
    found, waiting = {start}, [start]
    while waiting:
        status = waiting.pop()
        new = {after for (before, _), after in MOVES.items() if before is status} - found
        found |= new
        waiting += new
    return found


def test_every_status_can_be_reached() -> None:
    assert reachable(Status.WAITING) == set(Status)


def test_the_statuses_fall_into_waiting_in_flight_and_outcomes() -> None:
    assert {Status.WAITING} | IN_FLIGHT | OUTCOMES == set(Status)
    assert not IN_FLIGHT & OUTCOMES
    assert IN_FLIGHT - {Status.PROCESSING} == ON_THE_WAY


@pytest.mark.parametrize("status", sorted(set(Status) - OUTCOMES))
def test_what_is_not_settled_can_be_settled(status: Status) -> None:
    assert next_status(status, Kind.CANCELLED) is Status.CANCELLED
    assert reachable(status) >= OUTCOMES


@pytest.mark.parametrize("status", sorted(IN_FLIGHT))
@pytest.mark.parametrize("kind", sorted(CLOSING))
def test_every_closing_kind_closes_from_everywhere_in_flight(status: Status, kind: Kind) -> None:
    assert next_status(status, kind) in OUTCOMES | {Status.WAITING}


def test_the_kinds_that_close() -> None:
    assert set(Kind) - CLOSING == {Kind.CLAIMED, Kind.QUEUED, Kind.PROCESSING, Kind.RETRIED}


@pytest.mark.parametrize("status", sorted(OUTCOMES))
def test_only_a_person_reopens_an_outcome(status: Status) -> None:
    assert {kind for before, kind in MOVES if before is status} == {Kind.RETRIED}
    assert next_status(status, Kind.RETRIED) is Status.WAITING


def test_only_outcomes_are_retried() -> None:
    assert {status for status, kind in MOVES if kind is Kind.RETRIED} == OUTCOMES


def test_an_attempt_begins_only_by_a_claim() -> None:
    into_flight = {
        (status, kind)
        for (status, kind), after in MOVES.items()
        if status not in IN_FLIGHT and after in IN_FLIGHT
    }
    assert into_flight == {(Status.WAITING, Kind.CLAIMED)}


def test_rank_grows_with_every_move_of_an_attempt() -> None:
    for (status, kind), after in MOVES.items():
        if after in IN_FLIGHT:
            followers = [kind for before, kind in MOVES if before is after]
            assert followers
            assert all(rank(follower) > rank(kind) for follower in followers), (status, kind)


def test_an_outcome_is_called_like_the_kind_that_leads_to_it() -> None:
    for (_, kind), after in MOVES.items():
        if after in OUTCOMES:
            assert kind.value == after.value


def test_the_docs_show_the_diagram_of_the_table() -> None:
    (shown,) = re.findall(r"```mermaid\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert shown == mermaid()


def test_the_docs_have_a_paragraph_on_every_status() -> None:
    titles = re.findall(r"^## (\w+)\n\n\S", DOCS.read_text(), re.MULTILINE)
    assert titles == list(Status)


def test_the_module_prints_the_diagram() -> None:
    command = [sys.executable, "-m", "rtb.model.diagram"]
    assert subprocess.check_output(command, text=True) == mermaid()


def test_the_diagram_has_an_arrow_for_every_move() -> None:
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", mermaid(), re.MULTILINE)
    drawn = {
        (Status(before), Kind(kind)): Status(after)
        for before, after, kinds in arrows
        for kind in kinds.split(", ")
    }
    assert drawn == MOVES
