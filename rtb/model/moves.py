"""From what was said, in the order it was said, to at most one move per attempt.

A flush of the inbox may say of one attempt that it was queued, started and ended. Folding that to
the last move, which remembers what was said before it, leaves the ledger one compare-and-set and
one row of history per attempt.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rtb.model.lifecycle import Kind, rank
from rtb.model.wire import Report, Status, StatusKind, UnitKey

__all__ = ["Move", "fold"]


class Move(msgspec.Struct):
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


def fold(
    messages: Iterable[Report | Status], earlier: Iterable[Move] = ()
) -> tuple[list[Move], int]:
    """Return a move per attempt named in *messages*, in the order first named, and a count.

    The count is of events that came after one as far along: duplicates, and what came late.

    :param earlier: moves that were said before *messages*, and come first
    """
    moves: dict[UnitKey, Move] = {move.key: move for move in earlier}
    stale = 0
    for message in messages:
        if isinstance(message, Report):
            for key in message.units:
                move = moves.get(key)
                if move is None:
                    move = moves[key] = Move(*key)
                move.vouches, move.holder = True, message.leader
                if move.kind is None:  # else it is further along, and vouching is all that is new
                    move.kind, move.who = Kind.QUEUED, message.box
        else:
            stale += _fold_status(moves, message)
    return list(moves.values()), stale


def _fold_status(moves: dict[UnitKey, Move], message: Status) -> int:
    if message.kind is StatusKind.HOLDING:
        for news in message.units:
            moves.setdefault(news.key, Move(*news.key)).vouches = True
        return 0
    kind = Kind(message.kind)
    far = rank(kind)
    who = f"{message.name}/{message.source}" if message.name else message.source
    stale = 0
    for news in message.units:
        key = (news.unit, news.attempt)
        move = moves.get(key)
        if move is None:
            move = moves[key] = Move(*key)
        elif move.kind is not None:
            if rank(move.kind) >= far:
                stale += 1
                continue
            if move.kind is Kind.QUEUED:
                move.queued = True
            else:
                move.started, move.starter = True, move.who if move.who != who else None
        if news.ran is not None and kind is not Kind.PROCESSING:
            move.started = True
        move.kind, move.who, move.ran = kind, who, news.ran
        move.why, move.output = news.why, news.output
        if kind is Kind.SUCCESS:
            move.result = bytes(news.result).decode("utf-8", "replace")
    return stale
