"""Ctrl-C and SIGTERM: the first asks for an orderly end, the second does not want to wait."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred

__all__ = ["Interrupts"]


class Interrupts:
    """The signals by which people and service managers end a process."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        #: Fires at the first signal.
        self.asked: Deferred[None] = Deferred()
        #: Fires at the second one.
        self.insisted: Deferred[None] = Deferred()
        self._to_come = [self.insisted, self.asked]
        # The reactor sets its own when it starts, which would begin its shutdown at once.
        reactor.callWhenRunning(self.install)

    def install(self) -> None:
        """Take the signals, from whoever took them before."""
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._received)

    def _received(self, number: int, frame: FrameType | None) -> None:
        # A signal comes between any two instructions; this way it waits for its turn.
        self._reactor.callFromThread(self._next)

    def _next(self) -> None:
        if self._to_come:
            self._to_come.pop().callback(None)
