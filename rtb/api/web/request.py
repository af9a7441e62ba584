"""A request, and how every answer leaves."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from rtb.api.web.problem import Problem, explain, not_found

if TYPE_CHECKING:
    from rtb.api.web.channel import Channel
    from rtb.api.web.desk import Load
    from rtb.api.web.site import ApiSite

__all__ = ["JSON", "PROBLEM", "SECURITY_HEADERS", "ApiRequest"]

JSON = "application/json"
PROBLEM = "application/problem+json"
SECURITY_HEADERS = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Frame-Options", b"DENY"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)

log = Logger()


class ApiRequest(Request):
    """A request whose every answer, also one of Twisted's own, has rtb's headers and form."""

    defaultContentType = None
    channel: Channel
    content: Any
    transport: Any
    site: ApiSite

    def __init__(self, channel: Channel, *args: Any, **kwargs: Any) -> None:
        super().__init__(channel, *args, **kwargs)
        #: Names this request in its answer and in the log.
        self.id = channel.site.new_request_id()
        #: Takes the body as it comes, where it is a stream.
        self.upload: Load | None = None
        self.began = channel.site.seconds()
        #: The route that answers, once that is known.
        self.route = "none"

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body, within its limit, or pass it on."""
        if self.upload is not None:
            self.channel.more()
            self.upload.feed(data)
        elif self.channel.takes(len(data)):
            super().handleContentChunk(data)

    def abort_upload(self) -> None:
        """The body will not come to its end."""
        if self.upload is not None:
            self.upload.abort()

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone; what it sent in full is done all the same."""
        self.abort_upload()
        super().connectionLost(reason)

    def getRequestHostname(self) -> bytes:
        """Return a name that depends on nobody: the router needs one, and may build URLs of it."""
        return b"localhost"

    def process(self) -> None:
        """Answer, if this API is meant at all."""
        try:
            self.channel.site.guard.check_host(self.clientproto, self.requestHeaders)
            _check_path(self.path)
        except Problem as problem:
            self.refuse(problem)
        else:
            super().process()

    def write(self, data: bytes) -> None:
        """Send some of the answer; the headers before it."""
        if not self.startedWriting:
            self.responseHeaders.removeHeader(b"Server")
            self.setHeader(b"X-Request-Id", self.id)
            for name, value in SECURITY_HEADERS:
                self.setHeader(name, value)
        super().write(data)

    def prepare(
        self, status: HTTPStatus, kind: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Set status and headers of the answer *body*, and return it."""
        self.setResponseCode(status, status.phrase.encode())
        self.setHeader(b"Content-Type", kind)
        self.setHeader(b"Content-Length", b"%d" % len(body))
        for name, value in (headers or {}).items():
            self.setHeader(name, value)
        return body

    def failed(self, failure: Failure) -> bytes:
        """Return the answer to a request that failed; log what only rtb itself can mend."""
        problem = explain(failure.value)
        if problem is None:
            log.failure(
                "request {id} ({method} {path}) failed",
                failure=failure,
                id=self.id,
                method=self.method,
                path=self.path,
            )
            problem = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "a defect of rtb: its log says more under the number of this request",
            )
        return self._prepare_problem(problem)

    def _prepare_problem(self, problem: Problem) -> bytes:
        body = problem.body(self.id)
        return self.prepare(problem.status, PROBLEM, body, problem.headers)

    def refuse(self, problem: Problem) -> None:
        """Answer with *problem*, and that is all."""
        self.write(self._prepare_problem(problem))
        self.finish()

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer a request that failed before it reached a resource."""
        self.write(self.failed(reason))
        self.finish()
        return reason


def _check_path(path: bytes) -> None:
    if not path.startswith(b"/"):
        raise Problem(HTTPStatus.BAD_REQUEST, "a request names a path that begins with '/'")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise not_found("such resource") from None
