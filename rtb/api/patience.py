"""Units that are only known to be queued: booked later, with what follows if it comes soon.

A unit that is claimed, queued, begun and done within a moment is written twice then, not three
times. The bound counts `sent` and `queued` alike, so that it makes no difference to claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.wire import UnitKey

__all__ = ["Patience"]

#: Seconds that a unit waits at most ...
_SECONDS = 0.25
#: ... and for which nothing may be said of others, or it waits no longer.
_QUIET = 0.05


@attrs.frozen
class _Waiting:
    move: Move
    #: The flush that brought it, and when.
    flush: int
    since: float


class Patience:
    """Keeps moves from one flush to the next; all are of one ledger.

    :param seconds: a steady clock
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._waiting: dict[UnitKey, _Waiting] = {}
        self._stirred = -_QUIET
        #: The number of the last flush, and the ledger that it was of.
        self.flush = 0
        self.ledger = ""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def moves(self) -> list[Move]:
        """What waits, the oldest first."""
        return [one.move for one in self._waiting.values()]

    @property
    def booked(self) -> int:
        """The number of the last flush of which nothing waits."""
        oldest = next(iter(self._waiting.values()), None)
        return self.flush if oldest is None else oldest.flush - 1

    @property
    def is_quiet(self) -> bool:
        """Has nobody said for a while how a unit fares?"""
        return self._seconds() - self._stirred >= _QUIET

    def stir(self) -> None:
        """Somebody said how a unit fares."""
        self._stirred = self._seconds()

    def clear(self) -> None:
        """Forget what waits: it comes again, to whoever applies then."""
        self._waiting.clear()

    def sort(self, moves: Iterable[Move]) -> tuple[list[Move], list[Move]]:
        """Return which of *moves* to book now, and which may wait."""
        now = self._seconds()
        due: list[Move] = []
        later: list[Move] = []
        for move in moves:
            known = self._waiting.get(move.key) if move.kind is Kind.QUEUED else None
            waits = move.kind is Kind.QUEUED and (known is None or now - known.since < _SECONDS)
            (later if waits else due).append(move)
        return due, later

    def keep(self, ledger: str, moves: Sequence[Move]) -> None:
        """A flush of *ledger* is booked but for *moves*."""
        self.flush += 1
        now, before = self._seconds(), self._waiting
        self.ledger = ledger
        self._waiting = {
            move.key: before.get(move.key) or _Waiting(move, self.flush, now) for move in moves
        }
