"""One attempt of a unit: what it printed, its time limit, its one outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from rtb.agent.output import Tail
from rtb.agent.workloads.contract import Failed, Outcome, Stopped, timed_out
from rtb.model import wire

__all__ = ["GRACE", "Attempt"]

#: Seconds that a unit which ran longer than its limit gets to end when it is asked to.
GRACE = 2.0


@define(eq=False)
class Attempt:
    """A unit that runs somewhere; whoever runs it calls :meth:`print` and :meth:`settle`."""

    reactor: Any
    unit: wire.Unit
    printed: Callable[[bytes], None] | None
    #: Ends what runs it, which then settles: at once, or after being asked, in so many seconds.
    end: Callable[[float], None]
    done: Deferred[Outcome] = field(factory=Deferred, init=False)
    _tail: Tail = field(factory=Tail, init=False)
    _limit: IDelayedCall | None = field(default=None, init=False)
    #: What ended it, where it did not end by itself.
    _cause: Callable[[], Outcome] | None = field(default=None, init=False)

    @property
    def cut_short(self) -> bool:
        """Whether it was ended before it ended by itself."""
        return self._cause is not None

    @property
    def output(self) -> str:
        """The last 16 KiB that it printed."""
        return self._tail.text()

    def begin(self) -> None:
        """Start the clock."""
        if self.unit.limit is not None:
            self._limit = self.reactor.callLater(max(0.0, self.unit.limit), self._expire)

    def print(self, data: bytes) -> None:
        """It printed *data*."""
        self._tail.feed(data)
        if self.printed is not None:
            self.printed(data)

    def _expire(self) -> None:
        self._cause = self._timed_out
        self.end(GRACE)

    def _timed_out(self) -> Outcome:
        return timed_out(self.unit.limit, self.output)

    def stop(self, grace: float = 0.0) -> None:
        """End it: now, or by SIGTERM and by force *grace* seconds later."""
        if self.done.called:
            return
        self._cause = Stopped
        self.end(grace)

    def fail(self, why: str, *, permanent: bool) -> None:
        """It ended, badly."""
        self.settle(Failed(why, self.output, permanent))

    def settle(self, outcome: Outcome) -> None:
        """It ended, as *outcome* says unless it was ended."""
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        self.done.callback(self._cause() if self._cause is not None else outcome)
