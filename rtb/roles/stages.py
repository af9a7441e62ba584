"""The services of one process, which end one after the other in the reverse of their order.

Twisted's MultiService ends its children all at once; an agent's last words need the broker, and
what it gives back needs an API that still listens.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from twisted.application.service import IService, Service
from twisted.application.service import MultiService as _MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker import BrokerClient
from rtb.errors import ConfigurationError

__all__ = ["Stages"]


class Stages(_MultiService):
    """Roles in order, and the *client* that they share, which starts first and ends last.

    :param reactor: ended by SIGTERM and SIGINT; a second one skips what the roles wait for
    """

    _log = Logger()

    def __init__(self, reactor: Any, client: BrokerClient) -> None:
        super().__init__()
        self.client = client
        self._reactor = reactor
        client.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Open ports; one that cannot be had is one line on stderr, and exit code 78."""
        try:
            super().privilegedStartService()
        except ConfigurationError as problem:
            sys.stderr.write(f"rtb: {problem}\n")
            raise SystemExit(os.EX_CONFIG) from None

    def startService(self) -> None:
        """Start all, and listen for the second signal."""
        super().startService()
        # After the reactor installed its own, which would stop it a second time.
        self._reactor.callWhenRunning(self._listen)

    def stopService(self) -> Deferred[None]:
        """End the last role first, and each before the one it needs."""
        return Deferred.fromCoroutine(self._stop())

    def hurry(self) -> None:
        """Skip what the roles wait for."""
        for service in self:
            hurry = getattr(service, "hurry", None)
            if hurry is not None:
                hurry()

    async def _stop(self) -> None:
        Service.stopService(self)
        services: list[IService] = list(self)
        for service in reversed(services):
            await maybeDeferred(service.stopService).addErrback(self._failed)

    def _listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, _: object) -> None:
        self._reactor.callFromThread(self._end, number)

    def _end(self, number: int) -> None:
        if self.running:
            self._log.info("ends on {signal}", signal=signal.Signals(number).name)
            self._reactor.stop()
        else:
            self._log.info("ends at once on a second {signal}", signal=signal.Signals(number).name)
            self.hurry()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("a role did not end well", failure)
