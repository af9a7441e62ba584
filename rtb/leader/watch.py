"""Watches processes that this one did not start: a pid names them only while they live.

A pidfd names one process and no later one of the same number, and it becomes readable the moment
that process ends.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Watched", "watch"]


@implementer(IReadDescriptor)
class Watched:
    """A process, until it ends.

    :param ended: told once, when it has
    """

    def __init__(self, reactor: Any, pidfd: int, ended: Callable[[], None]) -> None:
        self._reactor = reactor
        self._pidfd = pidfd
        self._ended: Callable[[], None] | None = ended
        reactor.addReader(self)

    def signal(self, number: signal.Signals) -> None:
        """Send *number* to it, if it lives."""
        if self._ended is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def stop(self) -> None:
        """Watch it no longer."""
        if self._ended is not None:
            self._ended = None
            self._reactor.removeReader(self)
            os.close(self._pidfd)

    def doRead(self) -> None:
        """It has ended."""
        ended = self._ended
        self.stop()
        if ended is not None:
            ended()

    def fileno(self) -> int:
        """Return what the reactor polls."""
        return self._pidfd

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops, or cannot poll it: whether it lives is not known any more."""
        self.stop()

    def logPrefix(self) -> str:
        """Return how the reactor's errors name it."""
        return "agent"


def watch(reactor: Any, pid: int, mark: str, ended: Callable[[], None]) -> Watched | None:
    """Watch process *pid* if it is the one that was started with *mark* (NAME=VALUE) in its
    environment; None if there is no such process, or it is another one by now.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, OverflowError, ValueError):
        return None
    # Read after the pidfd was opened: what carries the mark is what the pidfd names.
    if mark.encode() in _environment(pid).split(b"\0"):
        return Watched(reactor, pidfd, ended)
    os.close(pidfd)
    return None


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
