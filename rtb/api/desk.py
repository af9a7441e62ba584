"""Answers people: what they ask is one query or one change, and whom it concerns is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rtb.api.dispatcher import Dispatcher
from rtb.api.follower import Follower
from rtb.api.herald import Herald
from rtb.api.intake import Intake
from rtb.api.opening import Opening
from rtb.api.upload import Upload
from rtb.api.web.desk import BoxInUseError
from rtb.ledger import (
    BadDataError,
    Books,
    LedgerUnavailableError,
    Outlook,
    Page,
    Reads,
    RefusedError,
    Verbs,
)
from rtb.model.orders import BadOrderError, NewOrder
from rtb.model.verbs import Filter, Verb

__all__ = ["Desk"]

_HINT = "nothing is handed out yet: POST /go/ starts it"


class Load:
    """An order on its way in, as the web sees it."""

    def __init__(
        self,
        upload: Upload,
        placed: Callable[[Deferred[dict[str, Any]]], Awaitable[dict[str, Any]]],
    ) -> None:
        self._placed = placed
        self._upload = upload
        self.feed = upload.feed
        self.abort = upload.abort

    async def end(self) -> dict[str, Any]:
        """All of the body came; return the answer."""
        return await self._placed(self._upload.end())


class Desk:
    """The public face of the ledger.

    :param committed: called after each change
    :param forget_queues: deletes the queues of a box
    :param where: the API's own address, for hints
    :param closed: orders are taken only for accounts that are there
    """

    def __init__(
        self,
        opening: Opening,
        books: Books,
        reads: Reads,
        verbs: Verbs,
        outlook: Outlook,
        dispatcher: Dispatcher,
        herald: Herald,
        follower: Follower,
        intake: Intake,
        committed: Callable[[], None],
        forget_queues: Callable[[str], Awaitable[None]],
        where: str,
        closed: bool,
    ) -> None:
        self._forget_queues = forget_queues
        self._opening = opening
        self._open_books = books
        self._open_reads = reads
        self._verbs = verbs
        self._outlook = outlook
        self._dispatcher = dispatcher
        self._herald = herald
        self._follower = follower
        self._intake = intake
        self._committed = committed
        self._where = where
        self._closed = closed

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
        units = await self._reads.next_units(limit)
        ranked = [(unit["workload"], rank) for rank, unit in enumerate(units)]
        return [
            {**unit, **code}
            for unit, code in zip(units, await self._outlook.codes(ranked), strict=True)
        ]

    async def set_going(self, going: bool) -> dict[str, Any]:
        """Start or stop claiming; what is in a tracker finishes either way."""
        await self._books.set_going(going)
        self._dispatcher.kick()
        self._herald.say_to_all()
        self._committed()
        return {"going": going}

    async def place(self, order: NewOrder, key: str | None, fingerprint: str) -> dict[str, Any]:
        """Store *order*, whole or not at all; with *key*, once."""
        self._check()
        placing = self._dispatcher.place(
            order, key=key, fingerprint=fingerprint, closed=self._closed
        )
        try:
            return await self._placed(placing, order)
        except BadDataError as problem:
            raise BadOrderError(str(problem)) from problem

    def load(
        self,
        order: NewOrder,
        kind: str,
        *,
        about: bytes,
        atomic: bool,
        key: str | None,
        hold_back: Callable[[bool], None],
        refuse: Callable[[Failure], None],
    ) -> Load:
        """Begin to take *order* in, whose units come as a stream of *kind*."""
        self._check()
        upload = self._intake.begin(
            order,
            kind,
            about=about,
            atomic=atomic,
            key=key,
            closed=self._closed,
            hold_back=hold_back,
            refuse=refuse,
        )
        return Load(upload, lambda loading: self._placed(self._loaded(loading), order))

    async def _loaded(self, loading: Deferred[dict[str, Any]]) -> dict[str, Any]:
        answer = await loading
        self._dispatcher.kick()
        return answer

    async def _placed(self, placing: Awaitable[dict[str, Any]], order: NewOrder) -> dict[str, Any]:
        try:
            answer = await placing
        except RefusedError as problem:
            if problem.code != "RT200":
                raise
            answer = msgspec.json.decode(problem.detail)
            self._dispatcher.kick()  # whoever placed it may have ended before
        self._committed()
        self._herald.say_soon()
        if order.not_before is not None:
            self._dispatcher.retry_later()
        if not answer["going"]:
            answer["hint"] = f"{_HINT}, for example: curl -X POST {self._where}/go/"
        return answer

    # ---- verbs

    async def change_order(self, order: int, verb: Verb, why: str, priority: int) -> int | None:
        """Do *verb* to *order*; return how many units that concerns, None if there is no order."""
        self._check()
        units = await self._verbs.change(order, verb, why=why, priority=priority)
        self._follower.kick()
        self._dispatcher.kick()
        return units

    async def count_units(self, order: int, verb: Verb, chosen: Filter) -> int | None:
        """Return how many units *verb* would touch; None if there is no such order."""
        self._check()
        return await self._verbs.count(order, verb, chosen)

    async def change_units(
        self, order: int, verb: Verb, chosen: Filter, units: int, why: str, priority: int
    ) -> None:
        """Do *verb* to the units of *order* that were counted."""
        self._check()
        await self._verbs.change_units(order, verb, chosen, units, why=why, priority=priority)
        self._follower.kick()

    async def set_account(
        self, name: str, weight: float | None, cap: int | None, sets_cap: bool
    ) -> dict[str, Any]:
        """Set an account's weight, its cap, or both; return what it has now."""
        self._check()
        account = await self._verbs.set_account(name, weight=weight, cap=cap, sets_cap=sets_cap)
        self._herald.say_to_all()
        return account

    # ---- looking

    async def orders(
        self,
        limit: int,
        cursor: int | None,
        *,
        account: str | None = None,
        labels: Mapping[str, str] | None = None,
        loading: bool = False,
    ) -> Page:
        """Return orders, newest first: of *account*, with all *labels*; or those that load."""
        return await self._reads.orders(
            limit, cursor, account=account, labels=labels, loading=loading
        )

    async def order(self, order: int) -> dict[str, Any] | None:
        """Return one order with its counts."""
        return await self._reads.order(order)

    async def units(
        self, order: int, status: str | None, limit: int, cursor: int | None
    ) -> Page | None:
        """Return units of *order*, and why those wait that do; None if there is no such order."""
        page = await self._reads.units(order, status, limit, cursor)
        if page is not None:
            waiting = [unit["id"] for unit in page.items if unit["status"] == "waiting"]
            waits = await self._outlook.units(order, waiting) if waiting else {}
            for unit in page.items:
                unit["waits"] = waits.get(unit["id"])
        return page

    def all_units(self, order: int, status: str | None) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield all units of *order* with their results, some at a time."""
        return self._reads.all_units(order, status)

    async def unit(self, unit: int) -> dict[str, Any] | None:
        """Return one unit with its history, and why it waits if it does."""
        found = await self._reads.unit(unit)
        if found is not None:
            found["waits"] = (await self._outlook.units(found["order"], [unit])).get(unit)
        return found

    async def fair(self) -> list[dict[str, Any]]:
        """Return what each account has and what is due to it."""
        self._check()
        return await self._outlook.fair()

    async def forecast(self, order: int) -> dict[str, Any] | None:
        """Return when *order* goes on and ends, and why it waits; None if there is none."""
        self._check()
        return await self._outlook.order(order)

    async def agents(self) -> list[dict[str, Any]]:
        """Return the agents that leaders reported."""
        return await self._reads.agents()

    async def drain(self, agent: str) -> bool:
        """Let *agent* take nothing new; False if there is none of that id."""
        box = await self._books.drain_agent(agent)
        if box is None:
            return False
        await self._herald.say(box)
        self._committed()
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
        self._committed()
        await self._forget_queues(box)
        return True
