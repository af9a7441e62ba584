"""How full a store was over a time, weighted by how long it was so."""

from __future__ import annotations

__all__ = ["Fill"]


class Fill:
    """The time-weighted mean of a level between two readings.

    :param now: seconds, on any steady clock
    """

    def __init__(self, now: float) -> None:
        self._since = self._changed = now
        self._level = 0.0
        self._area = 0.0

    def set(self, level: float, now: float) -> None:
        """The level is *level* from *now* on."""
        self._area += self._level * (now - self._changed)
        self._level, self._changed = level, now

    def read(self, now: float) -> float:
        """Return the mean since the last reading, and begin anew."""
        self.set(self._level, now)
        span = now - self._since
        mean = self._area / span if span > 0 else self._level
        self._since, self._area = now, 0.0
        return mean
