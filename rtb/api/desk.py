"""Answers people: what they ask is one query or one change, and whom it concerns is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rtb.api.dispatcher import Dispatcher
from rtb.api.herald import Herald
from rtb.api.opening import Opening
from rtb.api.web.desk import BoxInUseError
from rtb.ledger import Books, LedgerUnavailableError, Page, Reads
from rtb.model.orders import NewOrder

__all__ = ["Desk"]

_HINT = "nothing is handed out yet: POST /go/ starts it"


class Desk:
    """The public face of the ledger.

    :param forget_queues: deletes the queues of a box
    :param where: the API's own address, for hints
    """

    def __init__(
        self,
        opening: Opening,
        books: Books,
        reads: Reads,
        dispatcher: Dispatcher,
        herald: Herald,
        forget_queues: Callable[[str], Awaitable[None]],
        where: str,
    ) -> None:
        self._forget_queues = forget_queues
        self._opening = opening
        self._open_books = books
        self._open_reads = reads
        self._dispatcher = dispatcher
        self._herald = herald
        self._where = where

    @property
    def _books(self) -> Books:
        self._check()
        return self._open_books

    @property
    def _reads(self) -> Reads:
        self._check()
        return self._open_reads

    def _check(self) -> None:
        if self._opening.problem:
            raise LedgerUnavailableError(self._opening.problem)

    async def summary(self) -> dict[str, Any]:
        """Return what ``GET /`` says."""
        return await self._reads.summary()

    async def next_units(self, limit: int) -> list[dict[str, Any]]:
        """Return the *limit* units that are first in line."""
        return await self._reads.next_units(limit)

    async def set_going(self, going: bool) -> dict[str, Any]:
        """Start or stop claiming; what is in a tracker finishes either way."""
        await self._books.set_going(going)
        self._dispatcher.kick()
        self._herald.say_to_all()
        return {"going": going}

    async def place(self, order: NewOrder) -> dict[str, Any]:
        """Store *order*, whole or not at all."""
        order_id, going = await self._books.place(order)
        self._dispatcher.kick()
        self._herald.say_soon()
        answer: dict[str, Any] = {"id": order_id, "units": len(order.units), "going": going}
        if not going:
            answer["hint"] = f"{_HINT}, for example: curl -X POST {self._where}/go/"
        return answer

    async def orders(self, limit: int, cursor: int | None) -> Page:
        """Return orders, newest first."""
        return await self._reads.orders(limit, cursor)

    async def order(self, order: int) -> dict[str, Any] | None:
        """Return one order with its counts."""
        return await self._reads.order(order)

    async def units(
        self, order: int, status: str | None, limit: int, cursor: int | None
    ) -> Page | None:
        """Return units of *order*; None if there is no such order."""
        return await self._reads.units(order, status, limit, cursor)

    def all_units(self, order: int, status: str | None) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield all units of *order* with their results, some at a time."""
        return self._reads.all_units(order, status)

    async def unit(self, unit: int) -> dict[str, Any] | None:
        """Return one unit with its history."""
        return await self._reads.unit(unit)

    async def drain(self, agent: str) -> bool:
        """Let *agent* take nothing new; False if there is none of that id."""
        box = await self._books.drain_agent(agent)
        if box is None:
            return False
        await self._herald.say(box)
        return True

    async def forget_leader(self, box: str) -> bool:
        """Forget *box* and its queues; False if there is none.

        :raises BoxInUseError: its leader lives, or units of it are in flight
        """
        forgotten = await self._books.forget_box(box)
        if forgotten is None:
            return False
        if not forgotten:
            raise BoxInUseError(f"{box} is in use: end its leader, and wait for its units")
        await self._forget_queues(box)
        return True
