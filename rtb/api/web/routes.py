"""What each route does: it parses, asks the desk one thing, and renders the answer."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import CACHED

from rtb.api.web.asking import shielded
from rtb.api.web.desk import READY, WINDOWS, Desk, Live, Metrics, Readiness
from rtb.api.web.guard import check_body_type, check_origin
from rtb.api.web.openapi import describe
from rtb.api.web.orders import OrderResources
from rtb.api.web.pages import HTML, PAGE_HEADERS, PageFiles, takes_gzip, wants_html
from rtb.api.web.problem import Problem, not_found
from rtb.api.web.query import Query
from rtb.api.web.request import ApiRequest
from rtb.api.web.table import ROUTES, Answer, Route
from rtb.api.web.watching import EVENT_STREAM, Watching
from rtb.errors import RtbError
from rtb.model.names import BadNameError, check_box
from rtb.ops.metrics import CONTENT_TYPE as METRICS

__all__ = ["Resources", "make_app"]

#: Who watches the live feed holds a connection; there are some left for those who ask.
STREAMS_MOST = 1200
_FIRST = 20
_AGENT_MAX = 255


class Resources(OrderResources):
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
        super().__init__(reactor, desk, live)
        self._readiness = readiness
        self._metrics = metrics
        self._random = random
        self._page = PageFiles()

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
