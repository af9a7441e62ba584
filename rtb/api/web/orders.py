"""What the routes of orders, their units and their accounts do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from http import HTTPStatus
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool

from rtb.api.web.asking import limited, shielded, within
from rtb.api.web.changes import read_account, read_change
from rtb.api.web.desk import Desk, Live, Page
from rtb.api.web.problem import Problem, not_found
from rtb.api.web.query import Query, id_in_path, idempotency_key
from rtb.api.web.request import ApiRequest
from rtb.api.web.stream import NDJSON, Stream
from rtb.api.web.table import Answer
from rtb.model.orders import NewOrder, read_order
from rtb.model.verbs import Verb

__all__ = ["ANSWER_SECONDS", "OrderResources"]

#: Whoever asks has an answer after this long, whatever is away.
ANSWER_SECONDS = 1.8
#: A long order, or the last lines of one that is streamed, is placed within this.
LOAD_SECONDS = 90.0
_PAGE = 100
#: An order of so many bytes of JSON is long.
_LONG_BODY = 100_000


class OrderResources:
    """What each route of orders, units and accounts does."""

    def __init__(self, reactor: Any, desk: Desk, live: Live) -> None:
        self._reactor = reactor
        self._desk = desk
        self._live = live

    def _ask(
        self, ask: Callable[..., Awaitable[Any]], *args: object, **kwargs: object
    ) -> Deferred[Any]:
        return within(self._reactor, ANSWER_SECONDS, ask, *args, **kwargs)

    async def place(self, request: ApiRequest) -> Answer:
        """Take an order."""
        if request.upload is not None:
            ending = Deferred.fromCoroutine(_awaited(request.upload.end()))
            placed = await limited(self._reactor, LOAD_SECONDS, ending)
        else:
            key = idempotency_key(request.requestHeaders)
            body = request.content.read()
            seconds = ANSWER_SECONDS if len(body) < _LONG_BODY else LOAD_SECONDS
            placed = await within(self._reactor, seconds, self._place, body, key)
        return Answer(placed, HTTPStatus.CREATED, {"Location": f"/orders/{placed['id']}"})

    async def _place(self, body: bytes, key: str | None) -> dict[str, Any]:
        if len(body) < _LONG_BODY:
            order, fingerprint = _read(body)
        else:  # on this thread, everybody else would wait for it
            order, fingerprint = await deferToThreadPool(
                self._reactor, self._reactor.getThreadPool(), _read, body
            )
        return dict(await self._desk.place(order, key, fingerprint))

    async def orders(self, request: ApiRequest) -> Answer:
        """Show orders, a page at a time."""
        query = Query(
            request.args, "limit", "cursor", "account", "label", "loading", many=("label",)
        )
        page = await self._ask(
            self._desk.orders,
            query.limit(_PAGE),
            query.cursor(),
            account=query.text("account"),
            labels=query.pairs("label"),
            loading=query.switch("loading", False),
        )
        return _page("orders", page)

    async def order(self, request: ApiRequest, id: str) -> Answer:  # noqa: A002
        """Show one order, at once or when all its units have come to their end."""
        order = id_in_path(id, "order")
        query = Query(request.args, "wait", "until")
        query.choice("until", "done")
        seconds = query.wait()
        found = _present("order", await self._ask(self._desk.order, order))
        if seconds and found["finished_at"] is None and request.method != b"HEAD":
            await shielded(maybeDeferred(self._live.until_done, order, seconds))
            found = _present("order", await self._ask(self._desk.order, order))
        return Answer(found)

    async def change_order(self, request: ApiRequest, id: str, verb: str) -> Answer:  # noqa: A002
        """Do something to an order; its units follow."""
        order, what = id_in_path(id, "order"), Verb(verb)
        asked = read_change(request.content.read(), what)
        units = _present(
            "order",
            await self._ask(self._desk.change_order, order, what, asked.why, asked.priority),
        )
        return Answer({"id": order, "verb": what, "units": units}, HTTPStatus.ACCEPTED)

    async def change_units(self, request: ApiRequest, id: str, verb: str) -> Answer:  # noqa: A002
        """Do something to the units that a filter finds: count them first, then say the count."""
        order, what = id_in_path(id, "order"), Verb(verb)
        asked = read_change(request.content.read(), what, of_units=True)
        units = _present(
            "order", await self._ask(self._desk.count_units, order, what, asked.filter)
        )
        answer = {"id": order, "verb": what, "units": units}
        if asked.expect_count is None:
            hint = f'nothing was done: repeat it with "expect_count": {units}'
            return Answer({**answer, "hint": hint})
        if asked.expect_count != units:
            raise Problem(
                HTTPStatus.CONFLICT, f"the filter finds {units} units by now", units=units
            )
        await self._ask(
            self._desk.change_units, order, what, asked.filter, units, asked.why, asked.priority
        )
        return Answer(answer, HTTPStatus.ACCEPTED)

    async def forecast(self, request: ApiRequest, id: str) -> Answer:  # noqa: A002
        """Say when an order goes on and ends, and why it waits."""
        return _found("order", await self._ask(self._desk.forecast, id_in_path(id, "order")))

    async def fair(self, request: ApiRequest) -> Answer:
        """Show what each account has, and what is due to it."""
        Query(request.args)
        return Answer({"accounts": await self._ask(self._desk.fair)})

    async def set_account(self, request: ApiRequest, name: str) -> Answer:
        """Give an account a weight, a cap, or both; make it if it is new."""
        account = read_account(name, request.content.read())
        return Answer(
            await self._ask(
                self._desk.set_account, name, account.weight, account.cap, account.sets_cap
            )
        )

    async def units(self, request: ApiRequest, id: str) -> Answer | None:  # noqa: A002
        """Show an order's units, a page at a time or all in a stream."""
        order = id_in_path(id, "order")
        if NDJSON in request.requestHeaders.getRawHeaders("Accept", [""])[0].lower():
            await self._stream(request, order)
            return None
        query = Query(request.args, "status", "limit", "cursor")
        page = await self._ask(
            self._desk.units, order, query.status(), query.limit(_PAGE), query.cursor()
        )
        return _page("units", _present("order", page))

    async def _stream(self, request: ApiRequest, order: int) -> None:
        status = Query(request.args, "status").status()
        _present("order", await self._ask(self._desk.order, order))
        if request.method == b"HEAD":
            request.setHeader(b"Content-Type", NDJSON)
            return
        batches = self._desk.all_units(order, status)
        stream = Stream(self._reactor, request, batches, ANSWER_SECONDS)
        await shielded(Deferred.fromCoroutine(stream.run()))

    async def unit(self, request: ApiRequest, id: str) -> Answer:  # noqa: A002
        """Show one unit and all that happened to it."""
        return _found("unit", await self._ask(self._desk.unit, id_in_path(id, "unit")))


def _read(body: bytes) -> tuple[NewOrder, str]:
    return read_order(body), sha256(b"application/json\n" + body).hexdigest()


async def _awaited(what: Awaitable[Any]) -> Any:
    return await what


def _present(what: str, found: Any) -> Any:
    if found is None:
        raise not_found(f"{what} of that id")
    return found


def _found(what: str, found: object) -> Answer:
    return Answer(_present(what, found))


def _page(name: str, page: Page) -> Answer:
    cursor = None if page.cursor is None else str(page.cursor)
    return Answer({name: page.items, "cursor": cursor})
