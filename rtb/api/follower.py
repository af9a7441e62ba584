"""Lets units follow what was done to their order, batch by batch, and tells who has them.

What has to follow is in the ledger: whichever API looks next goes on where another one ended.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.api.dispatcher import Dispatcher
from rtb.api.herald import Herald
from rtb.errors import RtbError
from rtb.ledger import Verbs
from rtb.model.wire import UnitKey
from rtb.pulse import Pulse

__all__ = ["Follower"]

#: Seconds before it looks again after the ledger failed.
_RETRY = 0.5


class Follower(Service):
    """Works off errands whenever kicked: by a verb, an upload that ended, an epoch."""

    _log = Logger()

    def __init__(self, reactor: Any, verbs: Verbs, dispatcher: Dispatcher, herald: Herald) -> None:
        self._reactor = reactor
        self._verbs = verbs
        self._dispatcher = dispatcher
        self._herald = herald
        self._pulse = Pulse(self._follow, self._failed)

    def startService(self) -> None:
        """Look once at what an earlier life left to do."""
        super().startService()
        self._pulse.kick()

    def stopService(self) -> Deferred[None]:
        """Let no more units follow; fires when the batch under way is booked."""
        super().stopService()
        return self._pulse.stop()

    def kick(self) -> None:
        """There may be something to do."""
        if self.running:
            self._pulse.kick()

    async def _follow(self) -> None:
        if abandoned := await self._verbs.tidy():
            self._log.info("{orders} loads that nobody goes on with: discarded", orders=abandoned)
        while self.running and (errands := await self._verbs.errands()):
            moved = [await self._batch(errand, verb) for errand, verb in errands]
            if not any(moved):
                return  # somebody else is at them

    async def _batch(self, errand: int, verb: str) -> bool:
        batch = await self._verbs.follow(errand, verb)
        closed: dict[str, list[UnitKey]] = defaultdict(list)
        for box, key in batch.closed:
            closed[box].append(key)
        for box, keys in closed.items():
            await self._herald.say(box, keys)
        if batch.units:
            self._dispatcher.kick()
        return batch.busy

    def _failed(self, failure: Failure) -> None:
        if failure.check(RtbError):
            self._log.warn("units wait to follow: {why}", why=failure.getErrorMessage())
        else:
            self._log.failure("letting units follow failed", failure)
        if self.running:
            self._reactor.callLater(_RETRY, self.kick)
