"""What the live page shows, as rows; a glance at each costs the ledger a few milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from rtb.ledger.errors import SchemaError
from rtb.ledger.lane import Lane, Rows, only
from rtb.ledger.queries import QUERIES

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["RUNNING_MOST", "Glance", "PageReads", "Trouble"]

#: At most so many running units are looked at.
RUNNING_MOST = 500

_LIMIT = 2.0
#: An order of more units is drawn in bins ...
_CELLS = 2000
_BINS = 240
#: ... and one of more than this not at all: looking at each unit would take too long.
_BINNED = 200_000


@attrs.frozen
class Glance:
    """One look at everything that moves."""

    going: bool
    #: By status, in the order of a unit's life.
    counts: tuple[int, ...]
    boxes: Rows
    agents: Rows
    #: None: so much is in flight that it is not looked at every time.
    running: Rows | None
    orders: Rows
    news: Rows


@attrs.frozen
class Trouble:
    """What may need somebody."""

    errors: Rows
    #: Seconds within which 95 of 100 units are done; None where none was yet.
    usual: float | None
    #: In flight, and nobody has vouched for them for long.
    unvouched: int


class PageReads:
    """Reads for the page, on a connection of their own, so that they wait for nobody else's."""

    def __init__(
        self,
        reactor: Any,
        database: Database,
        tables_gone: Callable[[SchemaError], None] = lambda problem: None,
    ) -> None:
        self._lane = Lane(reactor, database, op="page", limit=_LIMIT, tables_gone=tables_gone)

    def close(self) -> None:
        """Close the connection."""
        self._lane.close()

    async def mark(self) -> tuple[Any, ...]:
        """Return something that is different when anything has changed."""
        rows = await self._lane.run(QUERIES["page_mark"])
        return rows[0]

    async def glance(self, *, after: int, news: int, orders: int, in_flight: int) -> Glance:
        """Look at everything that moves.

        :param after: the last event that is known
        :param news: how many newer ones to return, at most
        :param orders: how many orders to return
        :param in_flight: with more than this, what runs is not looked at
        """
        going, *counts = only(await self._lane.run(QUERIES["summary"]))
        return Glance(
            going=going,
            counts=tuple(counts),
            boxes=await self._lane.run(QUERIES["page_boxes"]),
            agents=await self._lane.run(QUERIES["page_agents"]),
            running=await self._lane.run(QUERIES["page_running"], {"limit": RUNNING_MOST})
            if sum(counts[1:4]) <= in_flight
            else None,
            orders=await self._lane.run(QUERIES["page_orders"], {"limit": orders}),
            news=await self._lane.run(QUERIES["page_news"], {"after": after, "limit": news}),
        )

    async def trouble(self) -> Trouble:
        """Look for what may need somebody."""
        errors = await self._lane.run(QUERIES["page_errors"])
        ((usual, unvouched),) = await self._lane.run(QUERIES["page_health"])
        return Trouble(errors, usual, unvouched)

    async def units(self, order: int) -> dict[str, Any] | None:
        """Return the units of *order* as letters, in bins where they are many; None for no order.

        The letters are those of w(aiting), s(ent), q(ueued), p(rocessing), o (success), e(rror)
        and c(ancelled).
        """
        rows = await self._lane.run(QUERIES["page_total"], {"order": order})
        if not rows:
            return None
        ((total, pruned),) = rows
        units: dict[str, Any] = {"order": order, "total": total}
        if pruned:
            units["pruned"] = True
        elif total <= _CELLS:
            ((cells, runs),) = await self._lane.run(QUERIES["page_cells"], {"order": order})
            units |= {"cells": cells or "", "runs": msgspec.Raw((runs or "[]").encode())}
        elif total <= _BINNED:
            asked = {"order": order, "total": total, "bins": _BINS}
            bins = await self._lane.run(QUERIES["page_bins"], asked)
            units["bins"] = [[first, *counts] for _, first, *counts in bins]
        return units

    async def finished(self, orders: Collection[int]) -> set[int]:
        """Return which of *orders* have come to their end."""
        rows = await self._lane.run(QUERIES["page_finished"], {"orders": list(orders)})
        return {order for (order,) in rows}

    async def metrics(self) -> tuple[Any, ...]:
        """Return the books as metrics: the columns of the query, as they are."""
        return only(await self._lane.run(QUERIES["page_metrics"]))

    async def newest(self) -> tuple[int, datetime]:
        """Return the id of the newest event, and a moment of a few seconds ago."""
        rows = await self._lane.run(QUERIES["newest_event"])
        return rows[0][0], rows[0][1]

    async def paces(self, after: int, limit: int, bounds: Sequence[float]) -> Rows:
        """Return how long units waited and queued: of at most *limit* events behind *after*.

        Rows of kind, what was before, bucket of *bounds*, count and sum of seconds; in the last
        one how many events were looked at, and the last of them.
        """
        asked = {"after": after, "limit": limit, "bounds": list(bounds)}
        return await self._lane.run(QUERIES["paces"], asked)

    async def ended(self, since: datetime, bounds: Sequence[float]) -> Rows:
        """Return how long the orders took that ended after *since*: bucket, count, sum, until."""
        asked = {"since": since, "bounds": list(bounds)}
        return await self._lane.run(QUERIES["orders_ended"], asked)

    async def sample(self) -> None:
        """Note the counts, for the trace of the past day."""
        await self._lane.run(QUERIES["page_sample"])

    async def samples(self, seconds: float, step: float) -> Rows:
        """Return the trace of the last *seconds*, a sample for each *step*, oldest first."""
        return await self._lane.run(QUERIES["page_samples"], {"seconds": seconds, "step": step})
