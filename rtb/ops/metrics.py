"""Metrics that every role has: what it is, its reactor, its connections to the broker."""

from __future__ import annotations

import platform
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

__all__ = [
    "CONTENT_TYPE",
    "BrokerMetrics",
    "Buckets",
    "Role",
    "counter",
    "exposed",
    "gauge",
    "make_registry",
]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_TICKS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Role(Protocol):
    """Something that can say how it is, in numbers."""

    def metrics(self) -> Iterable[Metric]:
        """Return them as they are now."""


def gauge(name: str, text: str, values: float | Mapping[str, float], label: str = "") -> Metric:
    """Return a gauge: one value, or one for each value of *label*."""
    return _filled(GaugeMetricFamily(name, text, labels=[label] if label else []), values)


def counter(name: str, text: str, values: float | Mapping[str, float], label: str = "") -> Metric:
    """Return a counter: one value, or one for each value of *label*."""
    return _filled(CounterMetricFamily(name, text, labels=[label] if label else []), values)


def _filled(family: Any, values: float | Mapping[str, float]) -> Metric:
    if isinstance(values, Mapping):
        for name, value in values.items():
            family.add_metric([name], value)
    else:
        family.add_metric([], values)
    metric: Metric = family
    return metric


class _Collected(Collector):
    def __init__(self, role: Role) -> None:
        self._role = role

    def collect(self) -> Iterator[Metric]:
        yield from self._role.metrics()


class BrokerMetrics:
    """The two connections of *client*."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._sessions = 0
        client.on_session(self._began)

    def _began(self, _: object) -> None:
        self._sessions += 1

    def metrics(self) -> Iterator[Metric]:
        """Return how they are; there while the broker is away, too."""
        ready = all(link.ready for link in self._client.status())
        yield gauge("rtb_broker_up", "Are both connections to RabbitMQ ready?", float(ready))
        yield counter(
            "rtb_broker_reconnects",
            "Times that consuming began again",
            max(0, self._sessions - 1),
        )
        yield gauge(
            "rtb_broker_unconfirmed_messages",
            "Published, and not yet confirmed by RabbitMQ",
            self._client.unconfirmed,
        )
        yield counter(
            "rtb_broker_redelivered",
            "Messages that somebody may have seen before, by queue",
            self._client.redelivered,
            "queue",
        )


def make_registry(reactor: Any, *roles: Role) -> CollectorRegistry:
    """Return the metrics of a process that runs *roles* on *reactor*."""
    registry = CollectorRegistry()
    about = Gauge(
        "rtb_build_info", "What runs", ["version", "python", "twisted"], registry=registry
    )
    about.labels(version("rtb"), platform.python_version(), version("twisted")).set(1)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    _watch(reactor, registry)
    for role in roles:
        registry.register(_Collected(role))
    return registry


def exposed(registry: CollectorRegistry) -> bytes:
    """Return the metrics as Prometheus reads them."""
    return generate_latest(registry)


def _watch(reactor: Any, registry: CollectorRegistry) -> None:
    """Measure how long the reactor works between two looks at its sockets."""
    ticks = Histogram(
        "python_twisted_reactor_tick_time",
        "Seconds that the reactor worked between two polls",
        buckets=_TICKS,
        registry=registry,
    )
    seen = Gauge(
        "python_twisted_reactor_last_seen",
        "When the reactor polled last, in seconds of Unix time",
        registry=registry,
    )
    seen.set(time.time())
    poller = getattr(reactor, "_poller", None)
    if poller is not None:
        reactor._poller = _Poller(poller, ticks, seen)


class _Poller:
    """The reactor's poller, with a watch."""

    def __init__(self, poller: Any, ticks: Histogram, seen: Gauge) -> None:
        self._poller = poller
        self._observe = ticks.observe
        self._seen = seen.set
        self._back = time.perf_counter()

    def poll(self, *args: Any) -> Any:
        """Wait for events, as the real one does."""
        self._observe(time.perf_counter() - self._back)
        events = self._poller.poll(*args)
        self._back = time.perf_counter()
        self._seen(time.time())
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


class Buckets(Collector):
    """A histogram that takes what was counted elsewhere, or many values at once."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._text = text
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, bucket: int, count: int, total: float) -> None:
        """Add *count* values in *bucket* that are *total* together."""
        self._counts[bucket] += count
        self._sum += total

    def observe(self, values: Iterable[float]) -> None:
        """Add each of *values*."""
        for value in values:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def collect(self) -> Iterator[Metric]:
        """Return it as it is now."""
        so_far, buckets = 0, []
        for bound, count in zip((*self._bounds, None), self._counts, strict=True):
            so_far += count
            buckets.append(("+Inf" if bound is None else str(float(bound)), so_far))
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], buckets, self._sum)
        yield family
