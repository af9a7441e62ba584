"""A leader in numbers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from rtb.leader.leader import Leader
from rtb.ops.metrics import gauge

__all__ = ["LeaderMetrics"]


class LeaderMetrics:
    """What *leader*, with room for *capacity* units, holds: zeros while it stands by."""

    def __init__(self, leader: Leader, capacity: int) -> None:
        self._leader = leader
        self._capacity = capacity

    def metrics(self) -> Iterator[Metric]:
        """Return the state of its job tracker."""
        reign = self._leader.reign
        queued = reign.tracker.queued if reign is not None else 0
        running = reign.tracker.running if reign is not None else 0
        agents = len(list(reign.register)) if reign is not None else 0
        slots = reign.register.slots if reign is not None else 0
        yield gauge("rtb_leader_leads", "Does it lead its box?", float(reign is not None))
        yield gauge("rtb_leader_tracker_units", "Units in its job tracker, not running", queued)
        yield gauge("rtb_leader_tracker_capacity", "N", self._capacity)
        yield gauge("rtb_leader_running_units", "Units that its agents run", running)
        yield gauge("rtb_leader_agents", "Agents that it knows", agents)
        yield gauge("rtb_leader_slots", "Units that its agents can run at once", slots)

    def words(self) -> str:
        """Return the same as people say it."""
        reign = self._leader.reign
        if reign is None:
            return self._leader.stage
        held, running = reign.tracker.queued, reign.tracker.running
        agents = len(list(reign.register))
        return f"leads: {held}/{self._capacity} held, {running} running, {agents} agents"
