"""Work that is done whenever there is some, one piece at a time.

The rhythm of every sender and applier in rtb: idle, it acts at once; busy, it gathers, and goes
again when it is done. So latency is low when it is quiet, and cost per unit falls under load.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Pulse"]


class _State(Enum):
    IDLE = auto()
    BUSY = auto()
    #: Something came up while busy: go again.
    AGAIN = auto()
    #: Stopped, but for the work under way.
    ENDING = auto()
    STOPPED = auto()


class Pulse:
    """Runs *work* when kicked, never twice at the same time.

    :param work: does what there is to do; called again if kicked meanwhile
    :param failed: told of what *work* raised; the next kick tries again
    """

    _log = Logger()

    def __init__(
        self, work: Callable[[], Coroutine[Any, Any, None]], failed: Callable[[Failure], None]
    ) -> None:
        self._work = work
        self._failed = failed
        self._state = _State.IDLE
        self._waiting: list[Deferred[None]] = []

    def kick(self) -> None:
        """There is something to do."""
        if self._state is _State.IDLE:
            self._state = _State.BUSY
            work = Deferred.fromCoroutine(self._work()).addErrback(self._failed)
            work.addErrback(self._unexpected).addCallback(self._done)
        elif self._state is _State.BUSY:
            self._state = _State.AGAIN

    def stop(self) -> Deferred[None]:
        """Take no more kicks; fire when the work under way is done."""
        ended: Deferred[None] = Deferred()
        if self._state in (_State.IDLE, _State.STOPPED):
            self._state = _State.STOPPED
            ended.callback(None)
        else:
            self._state = _State.ENDING
            self._waiting.append(ended)
        return ended

    def _unexpected(self, failure: Failure) -> None:
        # Else it would be busy for ever, and a stop would wait as long.
        self._log.failure("work failed in a way that nobody expected", failure)

    def _done(self, _: object) -> None:
        if self._state is _State.ENDING:
            self._state = _State.STOPPED
            waiting, self._waiting = self._waiting, []
            for ended in waiting:
                ended.callback(None)
            return
        again = self._state is _State.AGAIN
        self._state = _State.IDLE
        if again:
            self.kick()
