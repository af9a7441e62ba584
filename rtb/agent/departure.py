"""When an agent that a launcher started ends itself: nobody may be there to do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

__all__ = ["Departure"]

#: Seconds that whoever launched the agent has to end it once it is gone. Its node may be lost.
_LINGER = 60.0


class Departure:
    """Ends the process by *end* when it is of no use any more.

    :param alone: seconds without work and without a leader that are enough; 0: never
    """

    _log = Logger()

    def __init__(self, reactor: Any, *, alone: float, end: Callable[[], None]) -> None:
        self._reactor = reactor
        self._alone = alone
        self._end = end
        self._lingering: IDelayedCall | None = None

    def consider(self, busy: int, leaderless: float) -> None:
        """End if there has been no leader for *leaderless* seconds and nothing runs."""
        if self._alone and not busy and leaderless >= self._alone:
            self._log.info("no leader for {seconds:.0f} s: ends", seconds=leaderless)
            self._end()

    def left(self) -> None:
        """The leader does not want it any more.

        One that would end by itself does so at once. In a container it waits to be ended: were it
        to end first, the cluster would start another one in its place.
        """
        if self._lingering is None:
            delay = 0.0 if self._alone else _LINGER
            self._lingering = self._reactor.callLater(delay, self._end)

    def stop(self) -> None:
        """The process ends already."""
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
