"""The messages of a box, each unacked until all its units are stored and reported."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs

from rtb import failpoint
from rtb.broker import Delivery
from rtb.model.wire import Unit, UnitKey

__all__ = ["Letters"]


@attrs.define(eq=False)
class _Letter:
    delivery: Delivery
    waiting: deque[Unit]
    unreported: set[UnitKey] = attrs.field(factory=set)

    @property
    def done(self) -> bool:
        return not (self.waiting or self.unreported)


class Letters:
    """Keeps them in the order in which they came; nothing is ever nacked."""

    def __init__(self) -> None:
        self._letters: deque[_Letter] = deque()

    def add(self, delivery: Delivery, units: Iterable[Unit]) -> None:
        """Keep *delivery* for the sake of its *units*."""
        self._letters.append(_Letter(delivery, deque(units)))

    def take(self, most: int) -> list[Unit]:
        """Return the next units, at most *most*; the rest stays unacked."""
        taken: list[Unit] = []
        for letter in self._letters:
            fits = min(len(letter.waiting), most - len(taken))
            units = [letter.waiting.popleft() for _ in range(fits)]
            letter.unreported.update([unit.key for unit in units])
            taken += units
        self._ack_done()
        return taken

    def reported(self, keys: Iterable[UnitKey]) -> None:
        """A report that names *keys* is confirmed: ack what has nothing else to wait for."""
        said = set(keys)
        for letter in self._letters:
            letter.unreported -= said
        self._ack_done()

    def is_unreported(self, key: UnitKey) -> bool:
        """Was *key* taken, and no report of it confirmed?"""
        return any(key in letter.unreported for letter in self._letters)

    def drop(self, key: UnitKey) -> None:
        """Wait for no report of *key*."""
        for letter in self._letters:
            letter.unreported.discard(key)

    def clear(self) -> list[UnitKey]:
        """Ack all; return what was never taken."""
        keys = [unit.key for letter in self._letters for unit in letter.waiting]
        for letter in self._letters:
            letter.waiting.clear()
            letter.unreported.clear()
        self._ack_done()
        return keys

    def _ack_done(self) -> None:
        while self._letters and self._letters[0].done:
            self._letters.popleft().delivery.ack()
            failpoint.hit("l5")
