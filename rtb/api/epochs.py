"""Sends barriers: time, counted in messages that travel through the inbox itself.

A lease counted in seconds livelocks when the API falls behind its inbox; a barrier comes out only
when all that was said before it has been applied, so a slow API slows the clock as well.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.api.lineage import Lineage
from rtb.broker import BrokerClient
from rtb.broker.post import Post
from rtb.errors import RtbError
from rtb.model.wire import Barrier

__all__ = ["Epochs"]


class Epochs(Service):
    """Sends a barrier when this API has seen no new epoch for a while, by its own clock.

    So k APIs do not make time run k times as fast.

    :param length: seconds that an epoch lasts at least
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, client: BrokerClient, lineage: Lineage, post: Post, length: float
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._lineage = lineage
        self._post = post
        self._length = length
        self._seen = ("", 0)
        self._since = 0.0
        self._sent = False
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Begin to look, twice an epoch."""
        super().startService()
        self._since = self._reactor.seconds()
        self._loop.start(self._length / 2, now=True)

    def stopService(self) -> None:
        """Send no more barriers."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._tick()).addErrback(self._failed)

    async def _tick(self) -> None:
        current = await self._lineage.look()
        now = self._reactor.seconds()
        if current != self._seen:
            # An epoch that its own barrier began is as old as that barrier: counted from when it
            # was noticed, by a look each half epoch, epochs would last for three halves.
            if not self._sent:
                self._since = now
            self._seen, self._sent = current, False
        elif (
            now - self._since >= self._length * 0.9
            and self._client.can_publish
            and self.running  # or its barrier would stay for whoever comes next
        ):
            # Counted from the sending, or one that waits in a long inbox would be sent again.
            self._since, self._sent = now, True
            ledger, epoch = current
            await self._client.publish(self._post.barrier(Barrier(ledger=ledger, epoch=epoch)))

    def _failed(self, failure: Failure) -> None:
        if failure.check(RtbError):
            self._log.debug("no barrier: {why}", why=failure.getErrorMessage())
        else:
            self._log.failure("a barrier failed", failure)
