"""Units that are only known to be queued: booked later, with what follows if it comes soon.

A unit that is claimed, queued, begun and done within a moment is written twice then, not three
times. The bound counts `sent` and `queued` alike, so that it makes no difference to claims.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

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
class _Left:
    """What a flush left to wait: its number, when it was, and the keys, the oldest first."""

    flush: int
    since: float
    keys: deque[UnitKey]


class Patience:
    """Keeps moves from one flush to the next; all are of one ledger.

    A flush looks only at what it names and at what has waited long enough, however much waits.

    :param seconds: a steady clock
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._waiting: dict[UnitKey, Move] = {}
        #: The oldest first; keys that wait no more are taken off where they come first.
        self._left: deque[_Left] = deque()
        self._stirred = -_QUIET
        #: The number of the last flush, and the ledger that it was of.
        self.flush = 0
        self.ledger = ""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def waiting(self) -> Mapping[UnitKey, Move]:
        """What waits, the oldest first."""
        return self._waiting

    @property
    def booked(self) -> int:
        """The number of the last flush of which nothing waits."""
        while self._left:
            oldest = self._left[0]
            while oldest.keys and oldest.keys[0] not in self._waiting:
                oldest.keys.popleft()
            if oldest.keys:
                return oldest.flush - 1
            self._left.popleft()
        return self.flush

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
        self._left.clear()

    def sort(self, moves: Iterable[Move]) -> tuple[list[Move], list[Move]]:
        """Return what to book now, of *moves* and of what has waited long, and which may wait."""
        late: dict[UnitKey, Move] = {}
        now = self._seconds()
        for left in self._left:
            if now - left.since < _SECONDS:
                break
            late |= {key: self._waiting[key] for key in left.keys if key in self._waiting}
        due: list[Move] = []
        later: list[Move] = []
        for move in moves:
            if late and late.pop(move.key, None) is not None:
                due.append(move)
            else:
                (later if move.kind is Kind.QUEUED else due).append(move)
        return [*late.values(), *due], later

    def all_with(self, moves: Sequence[Move]) -> list[Move]:
        """Return everything that waits, and *moves*."""
        named = {move.key for move in moves}
        return [move for key, move in self._waiting.items() if key not in named] + list(moves)

    def keep(self, ledger: str, booked: Iterable[Move], later: Iterable[Move]) -> None:
        """A flush of *ledger* has booked *booked*, and left *later* to wait."""
        self.flush += 1
        self.ledger = ledger
        for move in booked:
            self._waiting.pop(move.key, None)
        fresh = {move.key: move for move in later if move.key not in self._waiting}
        if fresh:
            self._waiting |= fresh
            self._left.append(_Left(self.flush, self._seconds(), deque(fresh)))

    def keep_none(self, ledger: str) -> None:
        """A flush of *ledger* has booked everything."""
        self.flush += 1
        self.ledger = ledger
        self.clear()
