"""Lets old work go: in small steps, each a transaction of its own, so that it may end at any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.task import deferLater

from rtb.ledger.errors import RefusedError, SchemaError
from rtb.ledger.lane import Lane
from rtb.ledger.queries import QUERIES

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["Due", "Gone", "Pruning"]

#: Advisory lock class of whoever prunes.
_LOCK = 0x52544205
_LIMIT = 30.0
#: Seconds between two steps, at least; else as long as the step before took, so that it never has
#: more than half of a connection's worth of the server.
_REST = 0.05


@attrs.frozen
class Due:
    """What is old enough to go."""

    orders: int
    units: int


@attrs.frozen
class Gone:
    """What went, all steps together."""

    orders: int = 0
    units: int = 0
    events: int = 0


class Pruning:
    """Deletes the units and the history of orders that settled long ago.

    An order's row and its counters stay. What a killed process left undone, the next one goes on
    with: the units are out of everybody's sight from the moment that their order is marked.
    """

    def __init__(
        self,
        reactor: Any,
        database: Database,
        tables_gone: Callable[[SchemaError], None] = lambda problem: None,
    ) -> None:
        self._reactor = reactor
        self._lane = Lane(reactor, database, op="prune", limit=_LIMIT, tables_gone=tables_gone)

    def close(self) -> None:
        """Close the connection, and let somebody else prune."""
        self._lane.close()

    async def count(self, age: float) -> Due:
        """Return what settled *age* seconds ago or earlier, and what is left of earlier prunes."""
        ((orders, units),) = await self._lane.run(QUERIES["prune_count"], {"age": age})
        return Due(orders, units)

    async def prune(
        self,
        age: float,
        *,
        go_on: Callable[[], bool] = lambda: True,
        told: Callable[[Gone], None] = lambda gone: None,
    ) -> Gone:
        """Let go what settled *age* seconds ago or earlier; return what went.

        :param go_on: asked before each step
        :param told: how far it is, after each step
        :raises RefusedError: somebody else prunes at this moment
        """
        ((mine,),) = await self._lane.run(QUERIES["prune_rule"], {"lock_class": _LOCK})
        gone = Gone()
        while mine and go_on():
            began = self._reactor.seconds()
            # A connection made anew in between does not hold the lock: each batch asks for it.
            rows = await self._lane.run(QUERIES["prune_batch"], {"lock_class": _LOCK})
            ((mine, under_way, orders, units, events),) = rows
            gone = Gone(gone.orders + orders, gone.units + units, gone.events + events)
            if mine and not under_way and not await self._mark(age):
                return gone
            told(gone)
            rest = max(_REST, self._reactor.seconds() - began) if under_way else 0.0
            await deferLater(self._reactor, rest, lambda: None)
        if not mine:
            raise RefusedError("somebody else prunes at this moment: try again later", "RT409")
        return gone

    async def _mark(self, age: float) -> bool:
        found = await self._lane.run(QUERIES["prune_candidates"], {"age": age})
        orders = [order for (order,) in found]
        if orders:
            await self._lane.run(QUERIES["prune_mark"], {"orders": orders, "age": age})
        return bool(orders)

    async def forget_incarnations(self) -> None:
        """Forget lives of leaders that ended more than a week ago."""
        await self._lane.run(QUERIES["forget_incarnations"])
