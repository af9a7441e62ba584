"""How long units wait, how long they queue, how long orders take: counted from the ledger.

Not where news is booked, but set-wise and behind it, whenever somebody scrapes: it costs the hot
path nothing, and knows what other APIs booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from prometheus_client.core import Metric
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.errors import RtbError
from rtb.ledger import PageReads
from rtb.ops.metrics import Buckets, counter
from rtb.pulse import Pulse

__all__ = ["Durations"]

_SECONDS = (0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
#: Events that are looked at in one statement ...
_CHUNK = 20_000
#: ... and the newest of them that are looked at, however long nobody scraped.
_BEHIND = 500_000
_REASONS = ("failed", "lost", "rescued", "retried", "returned")


class Durations:
    """What was told since this API began to be scraped."""

    _log = Logger()

    def __init__(self, reads: PageReads) -> None:
        self._reads = reads
        self._waits = Buckets("rtb_unit_wait_seconds", "From ready to given out", _SECONDS)
        self._queues = Buckets("rtb_unit_queue_seconds", "From given out to its start", _SECONDS)
        self._orders = Buckets(
            "rtb_order_seconds", "From placed to the end of its last unit", _SECONDS
        )
        self._again: Counter[str] = Counter(dict.fromkeys(_REASONS, 0))
        self._event: int | None = None
        self._ended: datetime | None = None
        self._pulse = Pulse(self.look, self._failed)

    def kick(self) -> None:
        """Look at what was told since; who scrapes does not wait for it."""
        self._pulse.kick()

    async def look(self) -> None:
        """Count what was told since the last look, but for the last seconds.

        :raises LedgerError: the ledger is away; the next look goes on from here
        """
        newest, moment = await self._reads.newest()
        if self._event is None or self._ended is None:
            self._event, self._ended = newest, moment
            return
        if newest < self._event:  # a ledger that was made anew
            self._event = 0
        self._event = max(self._event, newest - _BEHIND)
        looked = _CHUNK
        while looked == _CHUNK:
            *rows, (_, _, _, looked, last) = await self._reads.paces(self._event, _CHUNK, _SECONDS)
            self._event = int(last)
            for kind, former, bucket, count, seconds in rows:
                (self._waits if kind == "claimed" else self._queues).add(bucket, count, seconds)
                if kind == "claimed" and former is not None:
                    self._again[former] += count
        await self._count_orders(self._ended)

    async def _count_orders(self, since: datetime) -> None:
        rows: Sequence[tuple[int | None, int, float, datetime]]
        rows = await self._reads.ended(since, _SECONDS)
        for bucket, count, seconds, until in rows:
            self._ended = until
            if bucket is not None:
                self._orders.add(bucket, count, seconds)

    def metrics(self) -> Iterator[Metric]:
        """Return what was counted."""
        yield from self._waits.collect()
        yield from self._queues.collect()
        yield from self._orders.collect()
        yield counter(
            "rtb_units_republished", "Attempts that were not a unit's first", self._again, "reason"
        )

    def _failed(self, failure: Failure) -> None:
        failure.trap(RtbError)
        self._log.debug("durations wait: {why}", why=failure.getErrorMessage())
