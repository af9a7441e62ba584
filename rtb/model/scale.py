"""How many agents the work needs: up at once, down only after it has been quiet.

The number wanted is the greatest need of the last *quiet* seconds. So it is never less than what
is needed now, it never falls for a lull that is shorter, and each fall is to a level that sufficed
for that whole time: what rises and falls faster than the quiet time changes nothing.

Pure: loads and times in, a number out.
"""

from __future__ import annotations

from collections import deque

import attrs

__all__ = ["Load", "Range", "Scale", "need"]


@attrs.frozen
class Range:
    """How few and how many agents there may be."""

    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}:{self.most}"

    def clamp(self, number: int) -> int:
        """Return what is nearest to *number* and allowed."""
        return max(self.least, min(number, self.most))


@attrs.frozen
class Load:
    """Work that is there."""

    #: Units that wait in the ledger and that these agents could run.
    backlog: int
    #: Units in the job tracker, handed out, or running.
    in_flight: int


def need(load: Load, slots: int) -> int:
    """Return how many agents of *slots* slots run all of *load* at once."""
    return -(-(load.backlog + load.in_flight) // slots)


class Scale:
    """Remembers the need of the last *quiet* seconds.

    :param slots: of one agent
    """

    def __init__(self, bounds: Range, slots: int, quiet: float) -> None:
        self._bounds = bounds
        self._slots = slots
        self._quiet = quiet
        #: (until when it counts, need): only those that no later one exceeds, so they fall.
        self._needs: deque[tuple[float, int]] = deque()

    def wanted(self, load: Load, now: float) -> int:
        """Note *load*, the present one at the time *now*, and return how many agents to have."""
        present = self._bounds.clamp(need(load, self._slots))
        if self._needs:
            # The last one was needed until this moment: its quiet time begins now.
            self._needs[-1] = (now + self._quiet, self._needs[-1][1])
        while self._needs and self._needs[-1][1] <= present:
            self._needs.pop()
        self._needs.append((now + self._quiet, present))
        while self._needs[0][0] <= now:
            self._needs.popleft()
        return self._needs[0][1]
