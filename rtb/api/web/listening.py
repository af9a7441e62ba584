"""The API's port, opened at once or not at all."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.python.failure import Failure
from twisted.web.server import Site

from rtb.errors import ConfigurationError

__all__ = ["Listening"]


class Listening(Service):
    """Serves *site* where *description*, a Twisted server endpoint, says.

    Twisted's own service for this logs a port that is taken, and runs on without one.
    """

    def __init__(self, reactor: Any, description: str, site: Site) -> None:
        self._reactor = reactor
        self._description = description
        self._site = site
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Open the port.

        :raises ConfigurationError: it cannot be had
        """
        refusals: list[Failure] = []
        endpoint = serverFromString(self._reactor, self._description)
        # The server endpoints of Twisted answer at once.
        endpoint.listen(self._site).addCallbacks(self._opened, refusals.append)
        for refusal in refusals:
            if refusal.check(CannotListenError, OSError) is None:
                refusal.raiseException()
            raise ConfigurationError(
                f"cannot listen at {self._description}: {refusal.getErrorMessage()} "
                "(RTB_API_HOST's port or RTB_API_LISTEN says where to listen)"
            ) from refusal.value

    def startService(self) -> None:
        """Open the port, if that was not done before privileges were given up."""
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """Close the port."""
        super().stopService()
        port, self._port = self._port, None
        closed = port.stopListening() if port is not None else None
        return closed if closed is not None else succeed(None)

    def _opened(self, port: IListeningPort) -> None:
        self._port = port
