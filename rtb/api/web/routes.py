"""Every route, in one table; each parses, asks the desk one thing, and renders the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import attrs
import msgspec
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from rtb.api.web.asking import shielded, within
from rtb.api.web.desk import READY, Desk, Page, Readiness
from rtb.api.web.guard import check_body_type, check_origin
from rtb.api.web.problem import Problem, not_found
from rtb.api.web.query import Query, id_in_path
from rtb.api.web.request import JSON, ApiRequest
from rtb.api.web.stream import NDJSON, Stream
from rtb.model.names import BadNameError, check_box
from rtb.model.orders import read_order

__all__ = ["ANSWER_SECONDS", "ROUTES", "Answer", "Resources", "Route", "make_app"]

#: Whoever asks has an answer after this long, whatever is away.
ANSWER_SECONDS = 1.8
_PAGE = 100
_FIRST = 20
_AGENT_MAX = 255


@attrs.frozen
class Answer:
    """What a resource says."""

    value: object
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = {}


@attrs.frozen
class Route:
    """One row of the table."""

    path: str
    methods: tuple[str, ...]
    resource: str
    #: Does it change anything? Then who asks is checked, and HEAD is refused.
    changes: bool = False
    #: Does it need a body?
    body: bool = False


ROUTES = (
    Route("/", ("GET",), "summary"),
    Route("/next", ("GET",), "next_units"),
    Route("/go", ("GET", "POST"), "go", changes=True),
    Route("/stop", ("POST",), "stop", changes=True),
    Route("/orders", ("POST",), "place", changes=True, body=True),
    Route("/orders", ("GET",), "orders"),
    Route("/orders/<id>", ("GET",), "order"),
    Route("/orders/<id>/units", ("GET",), "units"),
    Route("/units/<id>", ("GET",), "unit"),
    Route("/agents/<agent>/drain", ("POST",), "drain", changes=True),
    Route("/leaders/<box>", ("DELETE",), "forget_leader", changes=True),
    Route("/livez", ("GET",), "livez"),
    Route("/readyz", ("GET",), "readyz"),
)


class Resources:
    """What each route does."""

    def __init__(self, reactor: IReactorTime, desk: Desk, readiness: Readiness) -> None:
        self._reactor = reactor
        self._desk = desk
        self._readiness = readiness

    def _ask(self, ask: Callable[..., Awaitable[Any]], *args: object) -> Deferred[Any]:
        return within(self._reactor, ANSWER_SECONDS, ask, *args)

    async def summary(self, request: ApiRequest) -> Answer:
        """Say how things are."""
        return Answer(await self._ask(self._desk.summary))

    async def next_units(self, request: ApiRequest) -> Answer:
        """Show who is first in line; claims nothing."""
        limit = Query(request.args, "limit").limit(_FIRST)
        return Answer({"units": await self._ask(self._desk.next_units, limit)})

    async def go(self, request: ApiRequest) -> Answer:
        """Start the wheels; a second time changes nothing."""
        return Answer(await self._ask(self._desk.set_going, True))

    async def stop(self, request: ApiRequest) -> Answer:
        """Stop claiming; what is on its way goes on."""
        return Answer(await self._ask(self._desk.set_going, False))

    async def place(self, request: ApiRequest) -> Answer:
        """Take an order."""
        order = read_order(request.content.read())
        placed = await self._ask(self._desk.place, order)
        return Answer(placed, HTTPStatus.CREATED, {"Location": f"/orders/{placed['id']}"})

    async def orders(self, request: ApiRequest) -> Answer:
        """Show orders, a page at a time."""
        query = Query(request.args, "limit", "cursor")
        page = await self._ask(self._desk.orders, query.limit(_PAGE), query.cursor())
        return _page("orders", page)

    async def order(self, request: ApiRequest, id: str) -> Answer:  # noqa: A002
        """Show one order."""
        return _found("order", await self._ask(self._desk.order, id_in_path(id, "order")))

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

    async def drain(self, request: ApiRequest, agent: str) -> Answer:
        """Let an agent finish what it runs, and end."""
        known = len(agent) <= _AGENT_MAX and agent.isprintable()
        if not known or not await self._ask(self._desk.drain, agent):
            raise not_found("agent of that id")
        return Answer({"agent": agent, "presence": "draining"}, HTTPStatus.ACCEPTED)

    async def forget_leader(self, request: ApiRequest, box: str) -> Answer:
        """Forget a leader that will not come back."""
        try:
            check_box(box)
        except BadNameError:
            raise not_found("leader of that box") from None
        if not await self._ask(self._desk.forget_leader, box):
            raise not_found("leader of that box")
        return Answer({"box": box, "forgotten": True})

    async def livez(self, request: ApiRequest) -> Answer:
        """Say that the reactor turns."""
        return Answer({"alive": True})

    async def readyz(self, request: ApiRequest) -> Answer:
        """Say whether all is there that answers need, and what is missing."""
        parts = dict(await self._ask(self._readiness))
        missing = [name for name, state in parts.items() if state != READY]
        if missing:
            detail = f"waiting for {', '.join(missing)}"
            headers = {"Retry-After": "1"}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers, parts=parts)
        return Answer({"ready": True, "parts": parts})


def _present(what: str, found: Any) -> Any:
    if found is None:
        raise not_found(f"{what} of that id")
    return found


def _found(what: str, found: object) -> Answer:
    return Answer(_present(what, found))


def _page(name: str, page: Page) -> Answer:
    cursor = None if page.cursor is None else str(page.cursor)
    return Answer({name: page.items, "cursor": cursor})


def make_app(resources: Resources) -> Klein:
    """Return an application that serves :data:`ROUTES` with *resources*."""
    app = Klein()
    # A merged slash would be answered with a redirect: nothing here redirects.
    app.url_map.merge_slashes = False
    for route in ROUTES:
        resource = getattr(resources, route.resource)
        register = app.route(
            route.path, methods=route.methods, endpoint=route.resource, strict_slashes=False
        )
        register(_guarded(route, resource))
    for rule in app.url_map.iter_rules():
        # The router gives HEAD to whatever takes GET; a look must not start anything.
        if rule.methods is not None and rule.endpoint in _CHANGING:
            rule.methods.discard("HEAD")
    app.handle_errors(Exception)(_failed)  # type: ignore[arg-type]
    return app


_CHANGING = frozenset(route.resource for route in ROUTES if route.changes)


def _guarded(
    route: Route, resource: Callable[..., Awaitable[Answer | None]]
) -> Callable[..., Awaitable[bytes | None]]:
    async def answer(request: ApiRequest, **arguments: str) -> bytes | None:
        if route.changes:
            request.setHeader(b"Cache-Control", b"no-store")
            check_origin(request.requestHeaders)
            empty = request.content.seek(0, 2) == 0
            request.content.seek(0)
            check_body_type(request.requestHeaders, empty=empty, may_be_empty=not route.body)
        said = await resource(request, **arguments)
        if said is None:
            return None
        body = msgspec.json.encode(said.value) + b"\n"
        return request.prepare(said.status, JSON, body, said.headers)

    return answer


def _failed(request: ApiRequest, failure: Failure) -> bytes:
    return request.failed(failure)
