"""Somebody who watches the live feed: one event stream of HTTP, which cannot hurt the API.

A stalled reader costs one frame of each kind and what the kernel holds, and is cut off in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from rtb.api.web.request import ApiRequest

__all__ = ["EVENT_STREAM", "Watching"]

EVENT_STREAM = "text/event-stream"
#: What waits for room: the newest of each, in this order. A sign of life does not wait.
_KINDS = ("hello", "snapshot", "units", "bye")


@implementer(IPushProducer)
class Watching:
    """An event stream as the answer to *request*.

    :param order: the order whose units they see, if any
    :param gone: called when the stream has ended
    :param coalesced: called when a frame gave way to a newer one
    """

    def __init__(
        self,
        request: ApiRequest,
        order: int | None,
        seconds: Callable[[], float],
        *,
        gone: Callable[[Watching], None],
        coalesced: Callable[[], None],
    ) -> None:
        self.order = order
        self._request = request
        self._seconds = seconds
        self._gone = gone
        self._coalesced = coalesced
        self._pending: dict[str, bytes] = {}
        #: Since when there is no room; None while there is.
        self._full_since: float | None = None
        self._ended = False
        request.notifyFinish().addBoth(self._lost)

    def begin(self, retry: int) -> None:
        """Send the headers; *retry* is after how many milliseconds to come back."""
        request = self._request
        request.setHeader(b"Content-Type", EVENT_STREAM)
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Accel-Buffering", b"no")
        request.registerProducer(self, True)
        request.write(b"retry: %d\n\n" % retry)

    def send(self, kind: str, frame: bytes) -> None:
        """Write *frame*, or keep it until there is room or a newer one of its *kind*."""
        if self._ended:
            return
        if self._full_since is None:
            self._request.write(frame)
        elif kind in _KINDS:
            if kind in self._pending:
                self._coalesced()
            self._pending[kind] = frame

    def stalled(self, now: float) -> float:
        """Return for how many seconds nothing could be written."""
        return 0.0 if self._full_since is None else now - self._full_since

    def drop(self) -> None:
        """Cut the connection."""
        if not self._ended:
            self._request.transport.abortConnection()

    def end(self) -> None:
        """End the stream, so that the client comes back elsewhere or later."""
        if not self._ended:
            self._ended = True
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """There is no room."""
        if self._full_since is None:
            self._full_since = self._seconds()

    def resumeProducing(self) -> None:
        """There is room again."""
        self._full_since = None
        pending, self._pending = self._pending, {}
        for kind in _KINDS:
            if kind in pending:
                self.send(kind, pending[kind])

    def stopProducing(self) -> None:
        """The client is gone; the request hears of it next."""
        self._ended = True

    def _lost(self, _: Any) -> None:
        self._ended = True
        self._pending.clear()
        self._gone(self)
