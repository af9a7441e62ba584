"""Those who wait for an order to come to its end."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.errors import RtbError
from rtb.ledger import PageReads
from rtb.pulse import Pulse

__all__ = ["Waits"]

#: Seconds between two looks for what other APIs committed.
_LOOK_EVERY = 1.0


class Waits(Service):
    """One look at the ledger for all who wait, after a commit and once a second."""

    _log = Logger()

    def __init__(self, reactor: Any, reads: PageReads) -> None:
        self._reactor = reactor
        self._reads = reads
        self._waiting: dict[int, set[Deferred[None]]] = defaultdict(set)
        self._pulse = Pulse(self._look, self._failed)
        self._clock = LoopingCall(self.kick)
        self._clock.clock = reactor

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._clock.start(_LOOK_EVERY, now=False)

    async def stopService(self) -> None:
        """Let nobody wait any longer."""
        super().stopService()
        if self._clock.running:
            self._clock.stop()
        for order in list(self._waiting):
            self._release(order)
        await self._pulse.stop()

    def kick(self) -> None:
        """Something was committed."""
        if self._waiting and self.running:
            self._pulse.kick()

    def until_done(self, order: int, seconds: float) -> Deferred[None]:
        """Fire when all units of *order* have come to their end, or after *seconds*."""
        done: Deferred[None] = Deferred(lambda cancelled: self._forget(order, cancelled))
        self._waiting[order].add(done)
        timer = self._reactor.callLater(seconds, self._end, order, done)

        def settled(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        self.kick()
        return done.addBoth(settled)

    async def _look(self) -> None:
        for order in await self._reads.finished(self._waiting.keys()):
            self._release(order)

    def _release(self, order: int) -> None:
        for done in list(self._waiting.get(order, ())):
            self._end(order, done)

    def _end(self, order: int, done: Deferred[None]) -> None:
        self._forget(order, done)
        done.callback(None)

    def _forget(self, order: int, done: Deferred[None]) -> None:
        self._waiting[order].discard(done)
        if not self._waiting[order]:
            del self._waiting[order]

    def _failed(self, failure: Failure) -> None:
        if failure.check(RtbError):
            self._log.debug("cannot look for orders: {why}", why=failure.getErrorMessage())
        else:
            self._log.failure("looking for orders failed", failure)
