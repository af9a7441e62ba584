"""How many messages wait in RabbitMQ: asked of it, for the page and for metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker import BrokerClient, BrokerError
from rtb.broker.topology import DEAD, INBOX
from rtb.pulse import Pulse

__all__ = ["Depths"]

#: Seconds for which a look is good.
_FRESH = 2.0


class Depths:
    """The depths of the inbox, of the dead letters and of the boxes, as they were seen last."""

    _log = Logger()

    def __init__(self, client: BrokerClient, seconds: Callable[[], float]) -> None:
        self._client = client
        self._seconds = seconds
        self._boxes: list[str] = []
        #: By queue, messages that are ready; of the last time that RabbitMQ said so.
        self.known: dict[str, int] = {INBOX: 0, DEAD: 0}
        self._looked_at = -_FRESH
        self._pulse = Pulse(self._look, self._failed)

    @property
    def redelivered(self) -> int:
        """Messages that came to this process a second time."""
        return sum(self._client.redelivered.values())

    def kick(self, boxes: Iterable[str]) -> None:
        """Look again, if the last look is old; nobody waits for it."""
        self._boxes = list(boxes)
        if self._seconds() - self._looked_at >= _FRESH:
            self._looked_at = self._seconds()
            self._pulse.kick()

    async def _look(self) -> None:
        session: Any = self._client.session
        if session is not None:
            self.known = {INBOX: 0, DEAD: 0} | await session.depths((INBOX, DEAD, *self._boxes))

    def _failed(self, failure: Failure) -> None:
        failure.trap(BrokerError)
        self._log.debug("depths are not known: {why}", why=failure.getErrorMessage())
