"""How fast it goes, from counts that only grow. Pure: counts and times in, units per second out."""

from __future__ import annotations

from collections import deque

import attrs

__all__ = ["OrderRates", "Rates"]

#: Seconds that a rate looks back ...
_SPAN = 15.0
#: ... and further, as long as fewer units than this were done in it.
_ENOUGH = 10
_LONGEST = 120.0
#: Less than this is no measurement.
_SHORTEST = 1.5


@attrs.frozen
class _Point:
    at: float
    counts: tuple[int, ...]


class Rates:
    """The rates of several counts."""

    def __init__(self) -> None:
        self._points: deque[_Point] = deque()

    def add(self, at: float, counts: tuple[int, ...]) -> None:
        """Take note of *counts* at time *at*."""
        if self._points and at <= self._points[-1].at:
            return
        self._points.append(_Point(at, counts))
        while self._may_forget():
            self._points.popleft()

    def _may_forget(self) -> bool:
        """Is the second point enough to look back to?"""
        if len(self._points) < 3:
            return False
        last, second = self._points[-1], self._points[1]
        age = last.at - second.at
        done = last.counts[0] - second.counts[0]
        return age >= _LONGEST or (age >= _SPAN and done >= _ENOUGH)

    def read(self) -> tuple[float, ...] | None:
        """Return how many there were per second of each; None where that is not known yet."""
        if len(self._points) < 2:
            return None
        first, last = self._points[0], self._points[-1]
        span = last.at - first.at
        if span < _SHORTEST:
            return None
        pairs = zip(first.counts, last.counts, strict=True)
        return tuple(max(0.0, (after - before) / span) for before, after in pairs)


class OrderRates:
    """The rate of each order that is shown."""

    def __init__(self) -> None:
        self._rates: dict[int, Rates] = {}

    def add(self, at: float, settled: dict[int, int]) -> None:
        """Take note of how many units of each order are settled; forget the other orders."""
        self._rates = {order: self._rates.get(order) or Rates() for order in settled}
        for order, count in settled.items():
            self._rates[order].add(at, (count,))

    def read(self, order: int) -> float | None:
        """Return how many units of *order* are settled per second; None: not known yet."""
        rates = self._rates.get(order)
        read = rates.read() if rates is not None else None
        return read[0] if read is not None else None
