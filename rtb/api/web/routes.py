"""Every route, in one table; each parses, asks the desk one thing, and renders the answer."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any

import attrs
import msgspec
from klein import Klein
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import CACHED

from rtb.api.web.asking import limited, shielded, within
from rtb.api.web.changes import read_account, read_change
from rtb.api.web.desk import READY, WINDOWS, Desk, Live, Metrics, Page, Readiness
from rtb.api.web.guard import check_body_type, check_origin
from rtb.api.web.openapi import describe
from rtb.api.web.pages import HTML, PAGE_HEADERS, PageFiles, takes_gzip, wants_html
from rtb.api.web.problem import Problem, not_found
from rtb.api.web.query import Query, id_in_path, idempotency_key
from rtb.api.web.request import JSON, ApiRequest
from rtb.api.web.stream import NDJSON, Stream
from rtb.api.web.watching import EVENT_STREAM, Watching
from rtb.errors import RtbError
from rtb.model.names import BadNameError, check_box
from rtb.model.orders import read_order
from rtb.model.verbs import Verb
from rtb.ops.metrics import CONTENT_TYPE as METRICS

__all__ = ["ANSWER_SECONDS", "ROUTES", "Answer", "Resources", "Route", "make_app"]

#: Whoever asks has an answer after this long, whatever is away.
ANSWER_SECONDS = 1.8
#: The last lines of a stream are loaded, and the order is opened, within this.
LOAD_SECONDS = 90.0
#: Who watches the live feed holds a connection; there are some left for those who ask.
STREAMS_MOST = 1200
_PAGE = 100
_FIRST = 20
_AGENT_MAX = 255
_VERB = f"any({', '.join(Verb)}):verb"


@attrs.frozen
class Answer:
    """What a resource says."""

    value: object
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = {}
    #: Of what kind the value is; bytes of any other kind than JSON go out as they are.
    kind: str = JSON


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
    Route("/page/<name>", ("GET",), "page_file"),
    Route("/openapi.json", ("GET",), "openapi"),
    Route("/events", ("GET",), "events"),
    Route("/trace", ("GET",), "trace"),
    Route("/next", ("GET",), "next_units"),
    Route("/go", ("GET", "POST"), "go", changes=True),
    Route("/stop", ("POST",), "stop", changes=True),
    Route("/orders", ("POST",), "place", changes=True, body=True),
    Route("/orders", ("GET",), "orders"),
    Route("/orders/<id>", ("GET",), "order"),
    Route("/orders/<id>/units", ("GET",), "units"),
    Route("/orders/<id>/forecast", ("GET",), "forecast"),
    Route(f"/orders/<id>/<{_VERB}>", ("POST",), "change_order", changes=True),
    Route(f"/orders/<id>/units/<{_VERB}>", ("POST",), "change_units", changes=True),
    Route("/fair", ("GET",), "fair"),
    Route("/accounts/<name>", ("POST",), "set_account", changes=True, body=True),
    Route("/units/<id>", ("GET",), "unit"),
    Route("/agents", ("GET",), "agents"),
    Route("/agents/<agent>/drain", ("POST",), "drain", changes=True),
    Route("/leaders/<box>", ("DELETE",), "forget_leader", changes=True),
    Route("/livez", ("GET",), "livez"),
    Route("/readyz", ("GET",), "readyz"),
    Route("/metrics", ("GET",), "metrics"),
)


class Resources:
    """What each route does."""

    def __init__(
        self,
        reactor: IReactorTime,
        desk: Desk,
        live: Live,
        readiness: Readiness,
        metrics: Metrics,
        random: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._desk = desk
        self._live = live
        self._readiness = readiness
        self._metrics = metrics
        self._random = random
        self._page = PageFiles()

    def _ask(
        self, ask: Callable[..., Awaitable[Any]], *args: object, **kwargs: object
    ) -> Deferred[Any]:
        return within(self._reactor, ANSWER_SECONDS, ask, *args, **kwargs)

    async def summary(self, request: ApiRequest) -> Answer:
        """Say how things are: to browsers as a page, to everybody else as JSON."""
        if not wants_html(request.requestHeaders):
            return Answer(await self._ask(self._desk.summary), headers={"Vary": "Accept"})
        picture = await self._ask(self._live.picture)
        try:
            picture["trace"] = await self._ask(self._live.trace, WINDOWS[0])
        except RtbError:
            picture["trace"] = None  # the picture says what is away
        html, headers = self._page.render(picture), dict(PAGE_HEADERS)
        if takes_gzip(request.requestHeaders):
            html, headers["Content-Encoding"] = gzip.compress(html, 1), "gzip"
        return Answer(html, headers=headers, kind=HTML)

    async def page_file(self, request: ApiRequest, name: str) -> Answer:
        """Serve what the page is made of."""
        file = self._page.file(name)
        if file is None:
            raise not_found("such resource")
        headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.setETag(file.tag.encode()) is CACHED:
            return Answer(b"", HTTPStatus.NOT_MODIFIED, headers, file.kind)
        if takes_gzip(request.requestHeaders):
            headers |= {"Content-Encoding": "gzip"}
            return Answer(file.small, headers=headers, kind=file.kind)
        return Answer(file.content, headers=headers, kind=file.kind)

    async def openapi(self, request: ApiRequest) -> Answer:
        """Describe the API for machines."""
        return Answer(describe(ROUTES, Resources))

    async def events(self, request: ApiRequest) -> None:
        """Send what moves, as it moves: an event stream."""
        check_origin(request.requestHeaders)
        order = Query(request.args, "order").order()
        last = request.requestHeaders.getRawHeaders("Last-Event-ID", [""])[0]
        if self._live.watching >= STREAMS_MOST:
            detail = f"{STREAMS_MOST} watch already"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "10"})
        if request.method == b"HEAD":
            request.setHeader(b"Content-Type", EVENT_STREAM)
            return
        ended: Deferred[None] = Deferred()

        def gone(watching: Watching) -> None:
            self._live.leave(watching)
            ended.callback(None)

        watching = Watching(
            request, order, self._reactor.seconds, gone=gone, coalesced=self._live.coalesced
        )
        # Not all at once, when an API comes back that many watched.
        watching.begin(round(1000 + 3000 * self._random()))
        await shielded(maybeDeferred(self._live.join, watching, last))
        await shielded(ended)

    async def trace(self, request: ApiRequest) -> Answer:
        """Show how fast it went in the past 5 minutes, hour or day."""
        window = Query(request.args, "window").choice("window", *WINDOWS)
        return Answer(await self._ask(self._live.trace, window))

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
        if request.upload is not None:
            ending = Deferred.fromCoroutine(_awaited(request.upload.end()))
            placed = await limited(self._reactor, LOAD_SECONDS, ending)
        else:
            key = idempotency_key(request.requestHeaders)
            body = request.content.read()
            fingerprint = sha256(b"application/json\n" + body).hexdigest()
            placed = await self._ask(self._desk.place, read_order(body), key, fingerprint)
        return Answer(placed, HTTPStatus.CREATED, {"Location": f"/orders/{placed['id']}"})

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

    async def agents(self, request: ApiRequest) -> Answer:
        """Show the agents, as their leaders saw them last."""
        return Answer({"agents": await self._ask(self._desk.agents)})

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

    async def metrics(self, request: ApiRequest) -> Answer:
        """Show everything that is counted, for Prometheus."""
        return Answer(await self._ask(self._metrics.scrape), kind=METRICS)


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
        request.route = route.path
        if route.changes:
            request.setHeader(b"Cache-Control", b"no-store")
            check_origin(request.requestHeaders)
            if request.upload is None:
                empty = request.content.seek(0, 2) == 0
                request.content.seek(0)
                check_body_type(request.requestHeaders, empty=empty, may_be_empty=not route.body)
        said = await resource(request, **arguments)
        if said is None:
            return None
        return request.prepare(said.status, said.kind, _body(said), said.headers)

    return answer


def _body(said: Answer) -> bytes:
    if isinstance(said.value, bytes):
        return said.value
    return msgspec.json.encode(said.value) + b"\n"


def _failed(request: ApiRequest, failure: Failure) -> bytes:
    return request.failed(failure)
