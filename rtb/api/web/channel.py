"""A connection of a client, with limits that Twisted's own does not have.

Twisted buffers a body of any size before a resource sees the request, lets a client take its time
for ever as long as it sends a byte now and then, and refuses with a bare status line or with none.
Here whatever is too long or too slow is refused with a problem, as early as it shows.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from rtb.api.web.problem import Problem
from rtb.api.web.upload import streamed_kind

if TYPE_CHECKING:
    from rtb.api.web.site import ApiSite

__all__ = ["BODY_BYTES", "ORDER_BYTES", "Channel"]

ORDER_BYTES = 5 * 1024 * 1024
BODY_BYTES = 64 * 1024
_URL_BYTES = 4 * 1024
#: Absolute, from the first byte of the request, and from the end of its headers.
_HEADERS_SECONDS = 10.0
_BODY_SECONDS = 30.0
#: How long, and how much, a refused client may go on sending until it notices.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 16 * 1024 * 1024


class Channel(HTTPChannel):
    """One connection; requests over it follow one another."""

    maxHeaders = 100
    totalHeadersSize = 16 * 1024

    site: ApiSite
    transport: Any
    callLater: Any
    _networkProducer: Any
    _refusal: Problem | None = None
    _deadline: Any = None
    #: Bytes of the current body, or since the refusal.
    _received = 0
    _allowed = BODY_BYTES
    _held_back = False
    #: Twisted's limit for silence, while it does not hold since nothing is read.
    _idle_seconds: Any = None

    def connectionMade(self) -> None:
        """Greet a client, or refuse one too many."""
        self.site.connections += 1
        super().connectionMade()
        if self.site.is_full:
            crowded = Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", {"Retry-After": "10"}
            )
            self.refuse(crowded)

    def dataReceived(self, data: bytes) -> None:
        """Read some bytes of a request."""
        if self._refusal is not None:
            self._discard(data)
            return
        if self._deadline is None and not self._handlingRequest:
            self._expect_in(_HEADERS_SECONDS, "headers")
        super().dataReceived(data)

    def rawDataReceived(self, data: bytes) -> None:
        """Read some bytes of a body."""
        # After a refusal the line reader still empties its buffer, in raw mode, into this.
        if self._refusal is None:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is longer than all headers together may be."""
        self.refuse(self._too_long())

    def allHeadersReceived(self) -> None:
        """Look at the headers before any of the body is read."""
        problem = self._problem_of_headers()
        if problem is not None:
            self.refuse(problem)
            return
        self._received = 0
        self._expect_in(_BODY_SECONDS, "body")
        if self._places() and streamed_kind(self.requests[-1].requestHeaders):
            self._begin_upload(self.requests[-1])
        if self._refusal is None:
            super().allHeadersReceived()

    def _begin_upload(self, request: Any) -> None:
        try:
            request.upload = self.site.uploads.begin(
                self._version, self._path, request.requestHeaders, self
            )
        except Problem as problem:
            self.refuse(problem)
        else:
            self._expect_in(_BODY_SECONDS, "next piece of the body")

    def more(self) -> None:
        """A piece of a body came that is taken as it comes: there is time again for the next."""
        if not self._held_back:
            self._expect_in(_BODY_SECONDS, "next piece of the body")

    def hold_back(self, full: bool) -> None:
        """Read nothing for a while, which is not the client's fault; or go on."""
        if self._refusal is not None or full is self._held_back:
            return
        self._held_back = full
        if full:
            self._forget_deadline()
            self._idle_seconds = self.setTimeout(None)
            self._networkProducer.pauseProducing()
        elif self._handlingRequest:  # it goes on when the answer is out
            self._savedTimeOut = self._idle_seconds or self._savedTimeOut
        else:
            self._networkProducer.resumeProducing()
            self.setTimeout(self._idle_seconds)
            self.more()

    def _problem_of_headers(self) -> Problem | None:
        if len(self._path) > _URL_BYTES:
            return Problem(HTTPStatus.REQUEST_URI_TOO_LONG, f"a URL has at most {_URL_BYTES} bytes")
        self._allowed = ORDER_BYTES if self._places() else BODY_BYTES
        if self._places() and streamed_kind(self.requests[-1].requestHeaders):
            return None
        return self._too_large() if self.length and self.length > self._allowed else None

    def _places(self) -> bool:
        path = self._path.partition(b"?")[0].rstrip(b"/")
        return bool(self._command == b"POST" and path == b"/orders")

    def takes(self, length: int) -> bool:
        """Say whether the body may go on by *length* bytes; refuse the request if not."""
        self._received += length
        if self._refusal is None and self._received > self._allowed:
            self.refuse(self._too_large())
        return self._refusal is None

    def allContentReceived(self) -> None:
        """Begin with the request."""
        if self._refusal is None:
            self._forget_deadline()
            super().allContentReceived()

    def refuse(self, problem: Problem) -> None:
        """Answer with *problem* at once, and read no further request on this connection."""
        if self._refusal is not None:
            return
        self._refusal = problem
        if self._held_back:
            self._networkProducer.resumeProducing()  # or it would not notice that it is refused
        for request in self.requests:
            request.abort_upload()
        self._received = 0
        self._forget_deadline()
        self.setTimeout(None)
        self.setRawMode()
        self._networkProducer.unregisterProducer()
        self.transport.writeSequence(self.site.raw_answer(problem))
        if ISSLTransport(self.transport, None) is not None:
            self.transport.loseConnection()
            return
        # Closing while the client still sends would reset the connection, and the client would
        # never see why: close one half, and read on for a while.
        self.transport.loseWriteConnection()
        self._deadline = self.callLater(_LINGER_SECONDS, self.transport.abortConnection)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Forget what was still waited for."""
        self.site.connections -= 1
        self._forget_deadline()
        super().connectionLost(reason)

    def _respondToBadRequestAndDisconnect(self) -> None:
        # The one place through which Twisted refuses; it does not say why.
        too_long = self._receivedHeaderSize > self.totalHeadersSize
        if too_long or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(self._too_long())
        else:
            self.refuse(Problem(HTTPStatus.BAD_REQUEST, "this is no proper HTTP request"))

    def _too_long(self) -> Problem:
        if not hasattr(self, "_command"):
            return Problem(HTTPStatus.REQUEST_URI_TOO_LONG, f"a URL has at most {_URL_BYTES} bytes")
        return Problem(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"a request has at most {self.maxHeaders} headers, {self.totalHeadersSize} bytes",
        )

    def _too_large(self) -> Problem:
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {self._allowed} bytes here"
        )

    def _discard(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > _LINGER_BYTES:
            self.transport.abortConnection()

    def _expect_in(self, seconds: float, what: str) -> None:
        self._forget_deadline()
        late = Problem(HTTPStatus.REQUEST_TIMEOUT, f"{what} not complete in {seconds:g} s")
        self._deadline = self.callLater(seconds, self.refuse, late)

    def _forget_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None
