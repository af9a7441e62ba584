"""The API in numbers: the ledger as it was last seen, and what this API did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric

from rtb.api.depths import Depths
from rtb.api.durations import Durations
from rtb.errors import RtbError
from rtb.ledger import TRAFFIC, PageReads
from rtb.model.lifecycle import Kind, Status
from rtb.ops.metrics import Buckets, counter, exposed, gauge

__all__ = ["ApiMetrics", "Tally"]

_SECONDS = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14400)
_HTTP_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 10, 60)
_UNITS = (1, 5, 20, 50, 100, 250, 500, 1000, 2000)
_ORDERS = ("waiting", "processing", "success", "error", "cancelled")
_FLYING = ("sent", "queued", "processing")
#: Seconds that a look at the ledger serves every scrape.
_FRESH = 2.0


class Tally:
    """What was applied since this API began, and what was not."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.applied = 0
        #: Said of an attempt that is closed, or said before: acked, and touches nothing.
        self.stale = 0
        self.unknown = 0
        self.malformed = 0
        #: Attempts that were given out.
        self.published = 0
        self._kinds = Counter(
            "rtb_unit_events", "News of units that were booked", ["status"], registry=self.registry
        )
        self._ran = Buckets("rtb_unit_run_seconds", "How long units ran", _SECONDS)
        self.registry.register(self._ran)
        self._batch = Histogram(
            "rtb_event_batch_size", "Units in one flush", buckets=_UNITS, registry=self.registry
        )
        for kind in ("queued", "processing", "success", "error", "failed", "returned", "lost"):
            self._kinds.labels(kind)

    @property
    def dead(self) -> int:
        """What went to the dead letters."""
        return self.unknown + self.malformed

    def booked(self, kinds: Mapping[Kind, int], ran: Iterable[float]) -> None:
        """News of units was booked: so many of each kind, and for how long units ran."""
        for kind, units in kinds.items():
            self.applied += units
            self._kinds.labels(kind).inc(units)
        self._ran.observe(ran)

    def flushed(self, units: int) -> None:
        """A flush of news of *units* was committed."""
        self._batch.observe(units)


class ApiMetrics:
    """Everything that ``/metrics`` of the API shows.

    :param lost_after: seconds of silence after which an agent counts as lost
    """

    def __init__(
        self,
        reads: PageReads,
        tally: Tally,
        feed: Any,
        depths: Depths,
        seconds: Callable[[], float],
        lost_after: float,
    ) -> None:
        self._reads = reads
        self._tally = tally
        self._feed = feed
        self._depths = depths
        #: What is counted behind the news, from the ledger.
        self.durations = Durations(reads)
        self._seconds = seconds
        self._lost_after = lost_after
        self._row: tuple[Any, ...] | None = None
        self._up = False
        self._looked_at = -_FRESH
        self.registry: CollectorRegistry | None = None
        own = tally.registry
        own.register(TRAFFIC.seconds)
        self._requests = Counter(
            "rtb_http_requests", "Answers", ["method", "route", "code"], registry=own
        )
        self._http = Histogram(
            "rtb_http_request_seconds",
            "From the request to the end of the answer",
            ["method", "route"],
            buckets=_HTTP_SECONDS,
            registry=own,
        )

    def answered(self, method: str, route: str, code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(method, route, str(code)).inc()
        self._http.labels(method, route).observe(seconds)

    async def scrape(self) -> bytes:
        """Return all metrics; with the last numbers of the ledger, while that is away."""
        if self._seconds() - self._looked_at >= _FRESH:
            self._looked_at = self._seconds()
            try:
                self._row = await self._reads.metrics()
                self._up = True
            except RtbError:
                self._up = False
            else:
                # What they find is shown at the next scrape: nobody waits for it.
                self.durations.kick()
                self._depths.kick(self._row[-1])
        assert self.registry is not None
        return exposed(self.registry) + exposed(self._tally.registry)

    def metrics(self) -> Iterator[Metric]:
        """Return what is gathered at each scrape."""
        tally = self._tally
        yield gauge("rtb_db_up", "Did PostgreSQL answer the last look?", float(self._up))
        yield counter("rtb_units_published", "Attempts given to boxes", tally.published)
        yield counter(
            "rtb_unit_events_rejected",
            "News of units that were not booked",
            {"stale": tally.stale, "unknown": tally.unknown, "malformed": tally.malformed},
            "reason",
        )
        yield gauge("rtb_sse_clients", "Who watch the live feed", self._feed.watching)
        yield counter(
            "rtb_sse_frames_coalesced",
            "Frames that gave way to newer ones, for readers who do not keep up",
            self._feed.frames_coalesced,
        )
        yield gauge(
            "rtb_db_pool_connections",
            "Connections to PostgreSQL by state",
            TRAFFIC.connections(),
            "state",
        )
        yield gauge(
            "rtb_queue_messages", "Messages that wait in RabbitMQ", self._depths.known, "queue"
        )
        yield from self.durations.metrics()
        yield from self._ledger(self._row or (False, *(0,) * 18, 0.0, None, None, ()))

    def _ledger(self, row: tuple[Any, ...]) -> Iterator[Metric]:
        going, *rest = row
        counts, (flights, booked), orders = rest[:7], rest[7:9], rest[9:14]
        held, capacity, slots, busy, oldest, ages, agents, _ = rest[14:]
        by_status = dict(zip([status.value for status in Status], counts, strict=True))
        in_flight = sum(by_status[name] for name in _FLYING)
        yield gauge("rtb_units", "Units by status", by_status, "status")
        yield gauge(
            "rtb_units_unaccounted",
            "Units by which the books do not add up: always 0",
            abs(flights - in_flight) + abs(sum(counts) - booked),
        )
        yield gauge(
            "rtb_orders", "Orders by state", dict(zip(_ORDERS, orders, strict=True)), "state"
        )
        aged = msgspec.json.decode(ages) if ages else {}
        yield gauge(
            "rtb_oldest_unit_age_seconds",
            "Since when the oldest unit has been as it is",
            {"waiting": oldest or 0.0, **{name: aged.get(name, 0.0) for name in _FLYING}},
            "status",
        )
        yield gauge("rtb_tracker_units", "Units on the way to, or in, the job trackers", held)
        yield gauge("rtb_tracker_capacity", "N, of all boxes whose leader reports", capacity)
        wanted = min(capacity, held + by_status["waiting"]) if going else 0
        yield gauge("rtb_tracker_target", "What the job trackers should hold now", wanted)
        heard = msgspec.json.decode(agents) if agents else []
        yield gauge("rtb_agents", "Agents by state", self._states(heard), "state")
        free = max(0, slots - busy)
        yield gauge("rtb_agent_slots", "Slots by state", {"busy": busy, "free": free}, "state")

    def _states(self, agents: list[tuple[int, float]]) -> dict[str, float]:
        states = {"idle": 0.0, "busy": 0.0, "lost": 0.0}
        for busy, silent in agents:
            states["lost" if silent > self._lost_after else "busy" if busy else "idle"] += 1
        return states
