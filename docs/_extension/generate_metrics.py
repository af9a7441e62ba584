"""The metrics, from roles that are built as twistd builds them, and not started."""

from __future__ import annotations

from collections.abc import Iterable

from markdown_text import table
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from twisted.internet.testing import MemoryReactorClock

from rtb.api.api import Api
from rtb.ops.metrics import BrokerMetrics, make_registry
from rtb.roles import build
from rtb.settings import Settings

__all__ = ["families", "markdown"]

_OF_PROMETHEUS = ("process_", "python_gc_")


def markdown() -> str:
    """Return a table of the metrics of each role."""
    head = ["name", "type", "labels", "what it is"]
    return "\n\n".join(
        f"## {role}\n\n{table(head, map(_row, metrics))}" for role, metrics in families().items()
    )


def families() -> dict[str, list[Metric]]:
    """Return what each role shows."""
    reactor = MemoryReactorClock()
    whole = build.whole(Settings.load({}, {}), reactor)
    (api,) = [service for service in whole if isinstance(service, Api)]
    # A counter with labels shows them when it has counted something.
    api.metrics.answered("GET", "/", 200, 0.0)
    shared = _own(make_registry(reactor, BrokerMetrics(whole.client)))
    registry = api.metrics.registry
    assert registry is not None
    of = {"Every role": shared, "API": [], "Leader": [], "Agent": []}
    known = {metric.name for metric in shared}
    for metric in [*_own(registry), *_own(api.metrics._tally.registry)]:
        if metric.name not in known:
            of[_role(metric.name)].append(metric)
    return of


def _role(name: str) -> str:
    if name.startswith("rtb_leader_"):
        return "Leader"
    # The API counts agents and their slots, too.
    return "Agent" if name.startswith("rtb_agent_") and name != "rtb_agent_slots" else "API"


def _own(registry: CollectorRegistry) -> Iterable[Metric]:
    return [one for one in registry.collect() if not one.name.startswith(_OF_PROMETHEUS)]


def _row(metric: Metric) -> list[str]:
    labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
    shown = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return [f"`{shown}`", metric.type, ", ".join(sorted(labels)), metric.documentation]
