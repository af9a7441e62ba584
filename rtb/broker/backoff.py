"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]

_FIRST = 0.1
#: Every process waits for itself, and work goes on when the last of them is back.
_LONGEST = 3.0
_FACTOR = 1.5


class Backoff:
    """Exponential, with jitter: quick at first, so that a broker's restart costs little.

    :param random: 0 <= value < 1
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._next = _FIRST

    def delay(self) -> float:
        """Return the seconds to wait now; the next wait is longer."""
        current, self._next = self._next, min(self._next * _FACTOR, _LONGEST)
        return current * (0.5 + self._random() / 2)

    def reset(self) -> None:
        """Start again from the shortest."""
        self._next = _FIRST
