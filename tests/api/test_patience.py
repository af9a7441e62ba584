"""What is only queued waits for what follows it, but not for long, and unacked."""

from __future__ import annotations

from twisted.internet.task import Clock

from rtb.api.patience import Patience
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move


def queued(unit: int) -> Move:
    return Move(unit, 1, Kind.QUEUED)


def test_only_what_is_queued_waits() -> None:
    patience = Patience(Clock().seconds)
    done, vouched, waits = Move(1, 1, Kind.SUCCESS), Move(2, 1), queued(3)
    assert patience.sort([done, vouched, waits]) == ([done, vouched], [waits])
    assert not patience, "nothing waits before the rest is booked"
    patience.keep("x", [done, vouched], [waits])
    assert (dict(patience.waiting), patience.ledger) == ({(3, 1): waits}, "x")
    # What follows is booked at once.
    ended = Move(3, 1, Kind.SUCCESS, queued=True)
    assert patience.sort([ended]) == ([ended], [])
    patience.keep("x", [ended], [])
    assert not patience


def test_it_waits_a_quarter_of_a_second_from_when_it_came() -> None:
    clock = Clock()
    patience = Patience(clock.seconds)
    patience.keep("x", [], [queued(1), queued(3)])
    clock.advance(0.2)
    assert patience.sort([queued(1), queued(2)]) == ([], [queued(1), queued(2)])
    patience.keep("x", [], [queued(1), queued(2)])
    clock.advance(0.1)
    # Also what nobody named again; and what was is there once.
    assert patience.sort([queued(1), queued(2)]) == ([queued(3), queued(1)], [queued(2)])
    patience.keep("x", [queued(3), queued(1)], [queued(2)])
    assert list(patience.waiting) == [(2, 1)]


def test_a_flush_that_cannot_wait_takes_all_that_waits() -> None:
    patience = Patience(Clock().seconds)
    patience.keep("x", [], [queued(1), queued(2)])
    ended = Move(2, 1, Kind.SUCCESS, queued=True)
    assert patience.all_with([ended]) == [queued(1), ended]
    patience.keep_none("x")
    assert not patience
    assert patience.booked == patience.flush == 2


def test_it_is_quiet_when_nothing_was_said_for_a_while() -> None:
    clock = Clock()
    patience = Patience(clock.seconds)
    assert patience.is_quiet
    patience.stir()
    clock.advance(0.04)
    assert not patience.is_quiet
    clock.advance(0.02)
    assert patience.is_quiet


def test_a_flush_is_booked_when_nothing_of_it_and_of_those_before_waits() -> None:
    patience = Patience(Clock().seconds)
    assert patience.booked == 0
    patience.keep("x", [], [])
    assert (patience.flush, patience.booked) == (1, 1)
    patience.keep("x", [], [queued(1), queued(3)])
    patience.keep("x", [], [queued(1), queued(2)])
    assert (patience.flush, patience.booked) == (3, 1)
    patience.keep("x", [queued(3)], [])
    assert (patience.flush, patience.booked) == (4, 1)
    patience.keep("x", [queued(1)], [queued(2)])
    assert (patience.flush, patience.booked) == (5, 2)
    patience.keep("x", [queued(2)], [])
    assert patience.booked == 6


def test_a_new_session_begins_with_nothing() -> None:
    patience = Patience(Clock().seconds)
    patience.keep("x", [], [queued(1)])
    patience.clear()
    assert not patience
    assert patience.booked == patience.flush
