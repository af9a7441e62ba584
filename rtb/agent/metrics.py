"""An agent in numbers."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from rtb.agent.agent import Agent
from rtb.model.wire import Presence
from rtb.ops.metrics import gauge

__all__ = ["AgentMetrics"]


class AgentMetrics:
    """What *agent* holds in its *slots*."""

    def __init__(self, agent: Agent, slots: int) -> None:
        self._agent = agent
        self._slots = slots

    def metrics(self) -> Iterator[Metric]:
        """Return how busy it is."""
        draining = self._agent.presence is not Presence.READY
        yield gauge("rtb_agent_held_units", "Units that it holds", self._agent.held)
        yield gauge("rtb_agent_slot_limit", "Units that it runs at a time", self._slots)
        yield gauge("rtb_agent_draining", "Does it take nothing new?", float(draining))

    def words(self) -> str:
        """Return the same as people say it."""
        drains = "" if self._agent.presence is Presence.READY else "drains: "
        return f"{drains}{self._agent.busy}/{self._slots} busy"
