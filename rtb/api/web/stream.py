"""Rows without end, one JSON value to a line, as fast as the client reads and no faster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rtb.api.web.asking import limited
from rtb.api.web.request import ApiRequest

__all__ = ["NDJSON", "Stream"]

NDJSON = "application/x-ndjson"

log = Logger()
_encoder = msgspec.json.Encoder()


@implementer(IPushProducer)
class Stream:
    """Sends *batches* of rows as the answer to *request*; each batch has *seconds* to come."""

    def __init__(
        self,
        reactor: IReactorTime,
        request: ApiRequest,
        batches: AsyncIterator[list[dict[str, Any]]],
        seconds: float,
    ) -> None:
        self._reactor = reactor
        self._request = request
        self._batches = batches
        self._seconds = seconds
        #: Fires when the client has room again, or is gone; None while it has room.
        self._room: Deferred[None] | None = None
        self._gone = False
        request.notifyFinish().addErrback(self._lost)

    async def run(self) -> None:
        """Send everything, until the end or until the client is gone.

        A failure after the first line cannot become a status any more: the connection is cut, so
        that the client does not take what it has for everything.
        """
        request = self._request
        request.setHeader(b"Content-Type", NDJSON)
        request.registerProducer(self, True)
        try:
            await self._send_all()
        except Exception as problem:
            if not request.startedWriting:
                raise
            log.warn("request {id}: stream cut off: {why}", id=request.id, why=problem)
            request.transport.abortConnection()
        finally:
            if not self._gone:
                request.unregisterProducer()

    async def _send_all(self) -> None:
        # One fetch at a time, and the iterator closed only after the last one has ended.
        fetching: Deferred[Any] = Deferred.fromCoroutine(self._fetch())
        try:
            while (rows := await limited(self._reactor, self._seconds, fetching)) is not None:
                if not self._gone:
                    self._request.write(b"".join(_encoder.encode(row) + b"\n" for row in rows))
                if self._room is not None:
                    await self._room
                if self._gone:
                    return
                fetching = Deferred.fromCoroutine(self._fetch())
        finally:
            fetching.addBoth(lambda _: Deferred.fromCoroutine(self._close()))
            fetching.addErrback(lambda failure: log.failure("cannot end a stream", failure))

    async def _fetch(self) -> list[dict[str, Any]] | None:
        return await anext(self._batches, None)

    async def _close(self) -> None:
        close = getattr(self._batches, "aclose", None)
        if close is not None:
            await close()

    def _lost(self, _reason: Failure) -> None:
        self._gone = True
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """Hold back: the client does not keep up."""
        if self._room is None:
            self._room = Deferred()

    def resumeProducing(self) -> None:
        """Go on."""
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """End: the client is gone."""
        # Only that. The request learns of it right after this, and whoever waits for room must
        # not go on before: it would finish a request that is about to be lost.
        self._gone = True
