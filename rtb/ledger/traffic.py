"""What the lanes of this process do, in numbers: one for the process, as its metrics are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from prometheus_client import Histogram

__all__ = ["TRAFFIC", "Traffic"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class _Lane(Protocol):
    @property
    def state(self) -> str: ...


class Traffic:
    """How long statements take, by what they are for, and how the connections are."""

    def __init__(self) -> None:
        #: Registered by whoever shows it.
        self.seconds = Histogram(
            "rtb_db_query_seconds",
            "From a statement to its answer, by what it is for",
            ["op"],
            buckets=_SECONDS,
            registry=None,
        )
        self._lanes: WeakSet[_Lane] = WeakSet()

    def joined(self, lane: _Lane, op: str) -> Callable[[float], None]:
        """Take note of *lane*, which is for *op*; return what to tell how long a statement took."""
        self._lanes.add(lane)
        return self.seconds.labels(op).observe

    def connections(self) -> dict[str, int]:
        """Return how many connections are busy, idle and closed."""
        states = Counter(lane.state for lane in self._lanes)
        return {state: states[state] for state in ("busy", "idle", "closed")}


TRAFFIC = Traffic()
