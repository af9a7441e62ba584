"""The API's web site."""

from __future__ import annotations

import io
from random import Random
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import datetimeToString
from twisted.web.resource import IResource
from twisted.web.server import Site

from rtb.api.web.channel import Channel
from rtb.api.web.desk import Desk, Live, Metrics, Readiness
from rtb.api.web.guard import Guard
from rtb.api.web.problem import Problem
from rtb.api.web.request import PROBLEM, SECURITY_HEADERS, ApiRequest
from rtb.api.web.routes import Resources, make_app
from rtb.api.web.upload import Uploads
from rtb.settings import Settings

__all__ = ["CONNECTIONS_MOST", "ApiSite", "make_site"]

#: Connections of clients; each one over this is refused.
CONNECTIONS_MOST = 2000

log = Logger()


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class ApiSite(Site):
    """Twisted's site, without its access log, its pages and its trust."""

    protocol = Channel  # type: ignore[assignment]
    noisy = False
    displayTracebacks = False

    def __init__(
        self,
        resource: IResource,
        guard: Guard,
        uploads: Uploads,
        metrics: Metrics,
        reactor: IReactorTime,
        random: Random,
    ) -> None:
        super().__init__(
            resource, requestFactory=ApiRequest, reactor=reactor, parsePOSTFormSubmission=False
        )
        self.guard = guard
        self.uploads = uploads
        self._metrics = metrics
        self.seconds = reactor.seconds
        #: Connections that are open.
        self.connections = 0
        self._random = random

    @property
    def is_full(self) -> bool:
        """Are there more connections than there may be?"""
        return self.connections > CONNECTIONS_MOST

    def new_request_id(self) -> str:
        """Return an id for one request."""
        return f"{self._random.getrandbits(64):016x}"

    def getContentFile(self, length: int | None) -> io.BytesIO:
        """Return where a body is kept: in memory, since it is limited."""
        return io.BytesIO()

    def raw_answer(self, problem: Problem) -> list[bytes]:
        """Return *problem* as the bytes of a whole answer, after which the connection ends."""
        request_id = self.new_request_id()
        body = problem.body(request_id)
        headers = [
            (b"Date", datetimeToString()),
            (b"Content-Type", PROBLEM.encode()),
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"close"),
            (b"X-Request-Id", request_id.encode()),
            *((name.encode(), value.encode()) for name, value in problem.headers.items()),
            *SECURITY_HEADERS,
        ]
        return [
            b"HTTP/1.1 %d %s\r\n" % (problem.status, problem.status.phrase.encode()),
            *(b"%s: %s\r\n" % header for header in headers),
            b"\r\n",
            body,
        ]

    def startFactory(self) -> None:
        """Begin; without Twisted's access log, whose clock would tick every second."""

    def stopFactory(self) -> None:
        """End."""

    def log(self, request: Any) -> None:
        """Count an answered request, and note it for those who look closely."""
        method = request.method.decode("ascii", "replace")
        taken = self.seconds() - request.began
        self._metrics.answered(
            method if method in _METHODS else "other", request.route, int(request.code), taken
        )
        log.debug(
            "{method} {path!r} from {peer}: {code}, request {id}",
            method=method,
            path=request.path,
            peer=request.getClientAddress(),
            code=int(request.code),
            id=request.id,
        )


def make_site(
    desk: Desk,
    live: Live,
    readiness: Readiness,
    metrics: Metrics,
    settings: Settings,
    reactor: IReactorTime,
    random: Random,
) -> Site:
    """Return the site that answers for *desk*."""
    app = make_app(Resources(reactor, desk, live, readiness, metrics, random.random))
    guard = Guard(settings)
    return ApiSite(app.resource(), guard, Uploads(desk, guard), metrics, reactor, random)
