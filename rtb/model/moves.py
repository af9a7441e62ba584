"""From what was said, in the order it was said, to at most one move per attempt.

A flush of the inbox may say of one attempt that it was queued, started and ended. Folding that to
the last move, which remembers what was said before it, leaves the ledger one compare-and-set and
one row of history per attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from rtb.model.lifecycle import Kind, rank
from rtb.model.wire import Report, Status, StatusKind, UnitKey

__all__ = ["Move", "fold"]


class Move(msgspec.Struct, gc=False):  # thousands at a time, and none can be in a cycle
    """What was said of one attempt."""

    unit: int
    attempt: int
    #: The furthest that it came; None: somebody only vouched for it.
    kind: Kind | None = None
    vouches: bool = False
    #: The incarnation of the leader that vouched.
    holder: str | None = None
    #: Label and incarnation of who said how far it came, or the box's name for a leader.
    who: str = ""
    #: Seconds that the unit ran.
    ran: float | None = None
    #: JSON.
    result: str | None = None
    why: str = ""
    output: str = ""
    #: Said before it: the unit was queued; it began to run, and by whom if it was somebody else.
    queued: bool = False
    started: bool = False
    starter: str | None = None

    @property
    def key(self) -> UnitKey:
        """The (unit, attempt) that it is of."""
        return self.unit, self.attempt

    @classmethod
    def giving_up(cls, key: UnitKey, kind: Kind, why: str) -> Move:
        """Return the move by which the ledger itself closes an attempt."""
        return cls(*key, kind=kind, why=why, who="ledger")


_NOTHING: Mapping[UnitKey, Move] = {}


def fold(
    messages: Iterable[Report | Status], earlier: Mapping[UnitKey, Move] = _NOTHING
) -> tuple[list[Move], int]:
    """Return a move per attempt named in *messages*, in the order first named, and a count.

    The count is of events that came after one as far along: duplicates, and what came late.

    :param earlier: moves that were said before *messages*, and come first; those that are named
        again are what is returned of them, changed in place
    """
    moves: dict[UnitKey, Move] = {}
    stale = 0
    for message in messages:
        if isinstance(message, Report):
            _fold_report(moves, earlier, message)
        elif message.kind is StatusKind.HOLDING:
            for news in message.units:
                _known(moves, earlier, news.key).vouches = True
        else:
            stale += _fold_status(moves, earlier, message)
    return list(moves.values()), stale


def _known(moves: dict[UnitKey, Move], earlier: Mapping[UnitKey, Move], key: UnitKey) -> Move:
    move = moves.get(key)
    if move is None:
        move = moves[key] = earlier.get(key) or Move(*key)
    return move


def _fold_report(
    moves: dict[UnitKey, Move], earlier: Mapping[UnitKey, Move], message: Report
) -> None:
    leader, box = message.leader, message.box
    for key in message.units:
        if key not in moves and key not in earlier:  # as nearly always
            moves[key] = Move(*key, Kind.QUEUED, True, leader, box)
            continue
        move = _known(moves, earlier, key)
        move.vouches, move.holder = True, leader
        if move.kind is None:  # else it is further along, and vouching is all that is new
            move.kind, move.who = Kind.QUEUED, box


def _fold_status(
    moves: dict[UnitKey, Move], earlier: Mapping[UnitKey, Move], message: Status
) -> int:
    kind = Kind(message.kind)
    far = rank(kind)
    who = f"{message.name}/{message.source}" if message.name else message.source
    begins, succeeds = kind is Kind.PROCESSING, kind is Kind.SUCCESS
    stale = 0
    for news in message.units:
        move = _known(moves, earlier, (news.unit, news.attempt))
        former = move.kind
        if former is Kind.QUEUED:
            move.queued = True
        elif former is not None:
            if rank(former) >= far:
                stale += 1
                continue
            move.started, move.starter = True, move.who if move.who != who else None
        if news.ran is not None and not begins:
            move.started = True
        move.kind, move.who, move.ran = kind, who, news.ran
        move.why, move.output = news.why, news.output
        if succeeds:
            raw = bytes(news.result)
            move.result = "null" if raw == b"null" else raw.decode("utf-8", "replace")
    return stale
