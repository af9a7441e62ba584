"""The metrics, from the objects that show them, before anything has happened."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from markdown_text import table
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from rtb.agent.metrics import AgentMetrics
from rtb.api.metrics import ApiMetrics, Tally
from rtb.leader.metrics import LeaderMetrics
from rtb.model.wire import Presence
from rtb.ops.metrics import BrokerMetrics, make_registry

__all__ = ["families", "markdown"]

_OF_PROMETHEUS = ("process_", "python_gc_")
_ANYTHING: Any = SimpleNamespace


def markdown() -> str:
    """Return a table of the metrics of each role."""
    return "\n\n".join(
        f"## {role}\n\n{table(['name', 'type', 'labels', 'what it is'], map(_row, metrics))}"
        for role, metrics in families().items()
    )


def families() -> dict[str, list[Metric]]:
    """Return what each role shows."""
    link = _ANYTHING(ready=True)
    client = _ANYTHING(status=lambda: (link, link), unconfirmed=0, on_session=lambda began: None)
    tally = Tally()
    api = ApiMetrics(
        _ANYTHING(), tally, _ANYTHING(watching=0, frames_coalesced=0), lambda: 0.0, 1.0
    )
    # A counter with labels shows them when it has counted something.
    api.answered("GET", "/", 200, 0.0)
    leader = LeaderMetrics(_ANYTHING(reign=None), 0)
    agent = AgentMetrics(_ANYTHING(presence=Presence.READY, busy=0), 0)
    return {
        "Every role": [
            *_own(make_registry(_ANYTHING())),
            *BrokerMetrics(client).metrics(),
        ],
        "API": [*api.metrics(), *_own(tally.registry)],
        "Leader": list(leader.metrics()),
        "Agent": list(agent.metrics()),
    }


def _own(registry: CollectorRegistry) -> Iterable[Metric]:
    return [one for one in registry.collect() if not one.name.startswith(_OF_PROMETHEUS)]


def _row(metric: Metric) -> list[str]:
    labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
    shown = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return [f"`{shown}`", metric.type, ", ".join(sorted(labels)), metric.documentation]
