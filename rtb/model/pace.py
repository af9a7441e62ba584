"""How often the roles speak and how long they bear silence, all from the length of an epoch.

One relation holds these together: whoever lives is heard several times before an epoch ends, so
that only real silence lasts for the three epochs after which a unit is rescued. A shorter epoch
makes everything quicker; one longer than 10 s slows nothing but full reports and the rescue.
"""

from __future__ import annotations

import attrs

__all__ = ["Pace"]

_FULL = 10.0


@attrs.frozen
class Pace:
    """The rhythm of a system whose epochs last *epoch* seconds."""

    epoch: float

    @property
    def _beat(self) -> float:
        return min(self.epoch, _FULL) / 10

    @property
    def roll(self) -> float:
        """Seconds between two signs of life of a leader."""
        return 2 * self._beat

    @property
    def leaderless(self) -> float:
        """Seconds without one after which an agent vouches for itself, again and again."""
        return 5 * self._beat

    @property
    def track(self) -> float:
        """Seconds between two states of an agent in which nothing changes."""
        return 5 * self._beat

    @property
    def silent(self) -> float:
        """Seconds without one after which its leader no longer vouches for an agent."""
        return 10 * self._beat

    @property
    def full_report(self) -> float:
        """Seconds between two full reports of a leader."""
        return self.epoch / 2
