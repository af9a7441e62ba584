from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtb.model.lifecycle import IN_FLIGHT, Kind, Status, next_status
from rtb.model.moves import Move, fold
from rtb.model.wire import Ended, Report, StatusKind, UnitKey
from rtb.model.wire import Status as News

KEY = (7, 3)
OTHER = (8, 1)


def report(*keys: UnitKey, leader: str = "l1") -> Report:
    return Report(
        ledger="x",
        box="outbox",
        leader=leader,
        number=1,
        capacity=50,
        queued=len(keys),
        utilization=0.5,
        slots=1,
        busy=0,
        workloads=["w"],
        units=list(keys),
    )


def news(
    kind: StatusKind, *keys: UnitKey, name: str = "", source: str = "a1", **values: Any
) -> News:
    units = [Ended(*key, **values) for key in keys]
    return News(ledger="x", box="outbox", source=source, name=name, kind=kind, units=units)


def one_by_one(former: Status, messages: list[Report | News]) -> tuple[Status, list[Kind], int]:
    """Return where an attempt gets if each message is applied by itself, what was applied, and
    how many events came too late."""
    status, applied, late = former, [], 0
    open_ = True
    for message in messages:
        if not isinstance(message, Report) and message.kind is StatusKind.HOLDING:
            continue
        kind = Kind.QUEUED if isinstance(message, Report) else Kind(message.kind)
        after = next_status(status, kind) if open_ else None
        if after is None:
            late += not isinstance(message, Report)
            continue
        status, open_ = after, after in IN_FLIGHT
        applied.append(kind)
    return status, applied, late


def told(move: Move) -> list[Kind | None]:
    """Return the lines of history that *move* stands for."""
    return [Kind.QUEUED] * move.queued + [Kind.PROCESSING] * move.started + [move.kind]


MESSAGES = st.lists(
    st.builds(report, st.just(KEY), leader=st.sampled_from(["l1", "l2"]))
    | st.builds(news, st.sampled_from(StatusKind), st.just(KEY)),
    max_size=8,
)


@given(st.sampled_from(sorted(IN_FLIGHT)), MESSAGES)
def test_folding_is_applying_one_by_one(former: Status, messages: list[Report | News]) -> None:
    status, applied, _ = one_by_one(former, messages)
    moves, _ = fold(messages)
    if not messages:
        assert moves == []
        return
    (move,) = moves
    after = next_status(former, move.kind) if move.kind is not None else None
    assert (after or former) is status
    # The history that is booked: those lines that the former status lets through.
    assert [kind for kind in told(move) if next_status(former, kind)] == applied


@given(MESSAGES)
def test_folding_counts_what_came_late_and_remembers_who_vouched(
    messages: list[Report | News],
) -> None:
    moves, late = fold(messages)
    assert late == one_by_one(Status.SENT, messages)[2]
    reports = [message for message in messages if isinstance(message, Report)]
    for move in moves:
        assert move.holder == (reports[-1].leader if reports else None)
        assert move.vouches == any(
            isinstance(message, Report) or message.kind is StatusKind.HOLDING
            for message in messages
        )


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, *StatusKind]),
            st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), max_size=4),
        ),
        max_size=6,
    )
)
def test_attempts_do_not_touch_each_other(said: list[tuple[StatusKind | None, Any]]) -> None:
    messages = [report(*keys) if kind is None else news(kind, *keys) for kind, keys in said]
    moves, late = fold(messages)
    keys = list(dict.fromkeys(key for _, keys in said for key in keys))
    assert [(move.unit, move.attempt) for move in moves] == keys
    alone = []
    for key in keys:
        of_key = []
        for kind, named in said:
            of_key += [
                report(key) if kind is None else news(kind, key) for other in named if other == key
            ]
        alone.append(fold(of_key))
    assert moves == [move for (move,), _ in alone]
    assert late == sum(late for _, late in alone)


def test_an_end_that_says_how_long_it_ran_says_that_it_started() -> None:
    ((move,), late) = fold([report(KEY), news(StatusKind.SUCCESS, KEY, name="n", ran=1.5)])
    assert late == 0
    assert told(move) == [Kind.QUEUED, Kind.PROCESSING, Kind.SUCCESS]
    assert (move.who, move.starter, move.ran) == ("n/a1", None, 1.5)


def test_a_start_is_told_once() -> None:
    ((move,), _) = fold(
        [news(StatusKind.PROCESSING, KEY), news(StatusKind.FAILED, KEY, ran=1.5, why="x")]
    )
    assert told(move) == [Kind.PROCESSING, Kind.FAILED]


def test_who_began_is_remembered_where_somebody_else_tells_the_end() -> None:
    ((move,), _) = fold(
        [
            news(StatusKind.PROCESSING, KEY, name="n"),
            news(StatusKind.LOST, KEY, source="l1", why="exited"),
        ]
    )
    assert told(move) == [Kind.PROCESSING, Kind.LOST]
    assert (move.who, move.starter) == ("l1", "n/a1")


@given(MESSAGES, st.integers(0, 8))
def test_what_was_folded_before_can_be_folded_on(messages: list[Report | News], at: int) -> None:
    whole, stale = fold(messages)
    first, before = fold(messages[:at])
    known = {move.key: move for move in first}
    moves, after = fold(messages[at:], known)
    assert (list((known | {move.key: move for move in moves}).values()), before + after) == (
        whole,
        stale,
    )
    assert all(known.get(move.key, move) is move for move in moves), "changed in place"


def test_only_a_success_has_a_result() -> None:
    raw = msgspec.Raw(b'{"a":1}')
    ((move,), _) = fold([news(StatusKind.SUCCESS, KEY, result=raw)])
    assert move.result == '{"a":1}'
    ((move,), _) = fold([news(StatusKind.ERROR, KEY, result=raw, why="because", output="o")])
    assert (move.result, move.why, move.output) == (None, "because", "o")


def test_the_first_end_counts() -> None:
    ((move,), late) = fold(
        [news(StatusKind.ERROR, KEY, why="first"), news(StatusKind.SUCCESS, KEY)]
    )
    assert (move.kind, move.why, late) == (Kind.ERROR, "first", 1)


@pytest.mark.parametrize("kind", [Kind.RESCUED, Kind.RETURNED])
def test_the_ledger_gives_up_in_its_own_name(kind: Kind) -> None:
    move = Move.giving_up(OTHER, kind, "why")
    assert (move.unit, move.attempt, move.kind, move.vouches) == (*OTHER, kind, False)
    assert (told(move), move.who) == ([kind], "ledger")
