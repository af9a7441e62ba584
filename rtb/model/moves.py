"""From what was said, in the order it was said, to at most one move per attempt.

A flush of the inbox may say of one attempt that it was queued, started and ended. Folding that to
the last move, with the history that led there, leaves the ledger one compare-and-set per attempt.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from rtb.model.lifecycle import Kind, rank
from rtb.model.wire import Report, Status, StatusKind, UnitKey

__all__ = ["Move", "Told", "fold"]


@attrs.define
class Told:
    """A line of history."""

    kind: Kind
    #: Label and incarnation of the source, or the box's name for a leader.
    who: str
    ran: float | None = None
    output: str = ""


@attrs.define
class Move:
    """What was said of one attempt."""

    unit: int
    attempt: int
    #: The furthest that it came; None: somebody only vouched for it.
    kind: Kind | None = None
    vouches: bool = False
    #: The incarnation of the leader that vouched.
    holder: str | None = None
    result: str | None = None
    why: str = ""
    told: list[Told] = attrs.field(factory=list)

    @property
    def started(self) -> bool:
        """Was it said that the unit began to run?"""
        return any(line.kind is Kind.PROCESSING for line in self.told)

    @classmethod
    def giving_up(cls, key: UnitKey, kind: Kind, why: str) -> Move:
        """Return the move by which the ledger itself closes an attempt."""
        return cls(*key, kind=kind, why=why, told=[Told(kind, "ledger")])


def fold(messages: Iterable[Report | Status]) -> tuple[list[Move], int]:
    """Return a move per attempt named in *messages*, in the order first named, and a count.

    The count is of events that came after one as far along: duplicates, and what came late.
    """
    moves: dict[UnitKey, Move] = {}
    stale = 0
    for message in messages:
        if isinstance(message, Report):
            for key in message.units:
                move = _of(moves, key)
                move.vouches, move.holder = True, message.leader
                if move.kind is None:  # else it is further along, and vouching is all that is new
                    move.kind = Kind.QUEUED
                    move.told.append(Told(Kind.QUEUED, message.box))
        else:
            stale += _fold_status(moves, message)
    return list(moves.values()), stale


def _of(moves: dict[UnitKey, Move], key: UnitKey) -> Move:
    move = moves.get(key)
    if move is None:
        move = moves[key] = Move(*key)
    return move


def _fold_status(moves: dict[UnitKey, Move], message: Status) -> int:
    if message.kind is StatusKind.HOLDING:
        for news in message.units:
            _of(moves, news.key).vouches = True
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
        elif move.kind is not None and rank(move.kind) >= far:
            stale += 1
            continue
        if news.ran is not None and kind is not Kind.PROCESSING and not _started(move):
            move.told.append(Told(Kind.PROCESSING, who))
        move.kind, move.why = kind, news.why
        if kind is Kind.SUCCESS:
            move.result = bytes(news.result).decode("utf-8", "replace")
        move.told.append(Told(kind, who, news.ran, news.output))
    return stale


def _started(move: Move) -> bool:
    return bool(move.told) and move.told[-1].kind is Kind.PROCESSING
