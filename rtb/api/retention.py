"""Lets old work go, once a day."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.errors import RtbError
from rtb.ledger import Pruning, RefusedError
from rtb.model.retention import Retention
from rtb.pulse import Pulse

__all__ = ["Pruner"]

#: Seconds after its start: what an API does first is not to delete.
_FIRST = 60.0
_DAY = 86400.0
#: Seconds until it looks again after the ledger failed, or while somebody else prunes.
_AGAIN = 600.0


class Pruner(Service):
    """Prunes a minute after its start and then daily; of all APIs, one at a time.

    :param keeping: how long settled orders keep their units
    """

    _log = Logger()

    def __init__(self, reactor: Any, pruning: Pruning, keeping: Retention) -> None:
        self._reactor = reactor
        self._pruning = pruning
        self._keeping = keeping
        self._pulse = Pulse(self._prune, self._failed)
        self._timer: IDelayedCall | None = None

    def startService(self) -> None:
        """Prune in a minute."""
        super().startService()
        self._later(_FIRST)

    def stopService(self) -> Deferred[None]:
        """Prune no more; fires when the step under way is done."""
        super().stopService()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self._pulse.stop().addCallback(lambda _: self._pruning.close())

    def _later(self, seconds: float) -> None:
        if self.running:
            self._timer = self._reactor.callLater(seconds, self._pulse.kick)

    async def _prune(self) -> None:
        await self._pruning.forget_incarnations()
        age = self._keeping.seconds
        if age is not None:
            gone = await self._pruning.prune(age, go_on=lambda: bool(self.running))
            if gone.orders:
                self._log.info(
                    "pruned {orders} orders that settled more than {age} ago: {units} units, "
                    "{events} lines of history",
                    orders=gone.orders,
                    age=self._keeping,
                    units=gone.units,
                    events=gone.events,
                )
        self._later(_DAY)

    def _failed(self, failure: Failure) -> None:
        if failure.check(RefusedError):
            self._log.debug("does not prune: {why}", why=failure.getErrorMessage())
        elif failure.check(RtbError):
            self._log.warn("old work stays for now: {why}", why=failure.getErrorMessage())
        else:
            self._log.failure("pruning failed", failure)
        self._later(_AGAIN)
