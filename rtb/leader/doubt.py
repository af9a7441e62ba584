"""Units that may have been given up meanwhile: not handed out before the ledger says that not.

A box may hold what was claimed for a leader that is gone, for as long as nobody led; and a leader
that stood still wakes up with what it had. Three epochs after the claim such an attempt is closed,
and to run it would be work for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtb.model.wire import UnitKey

__all__ = ["Doubt"]


class Doubt:
    """Keeps for each unit in doubt the number of the last report that named it."""

    def __init__(self) -> None:
        self._named: dict[UnitKey, int] = {}

    def undoubted(self, keys: list[UnitKey]) -> list[UnitKey]:
        """Return those of *keys* that are not in doubt."""
        return [key for key in keys if key not in self._named] if self._named else keys

    def add(self, keys: Iterable[UnitKey]) -> None:
        """Doubt *keys*."""
        self._named |= dict.fromkeys(keys, 0)

    def named(self, number: int, keys: Iterable[UnitKey]) -> bool:
        """The report *number* names *keys*; return whether one of them is in doubt."""
        doubted = [key for key in keys if key in self._named]
        self._named |= dict.fromkeys(doubted, number)
        return bool(doubted)

    def answered(self, numbers: Iterable[int]) -> list[UnitKey]:
        """These reports were applied: return what they named, which is no longer in doubt.

        What turned out to be closed must have been forgotten before.
        """
        said = set(numbers)
        sure = [key for key, number in self._named.items() if number in said]
        for key in sure:
            del self._named[key]
        return sure

    def forget(self, key: UnitKey) -> None:
        """*key* is not held any more."""
        self._named.pop(key, None)

    def clear(self) -> None:
        """Nothing is held any more."""
        self._named.clear()
