"""Python functions that run on the agent's own reactor: ``async``, or returning a Deferred."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from rtb.agent import child
from rtb.agent.results import UnusableResult, encode
from rtb.agent.workloads.attempt import Attempt
from rtb.agent.workloads.contract import Failed, Outcome, Running, Stopped, Succeeded, document
from rtb.model import wire
from rtb.workload import Permanent, Unit

__all__ = ["ReactorFunction"]


@define(eq=False)
class ReactorFunction:
    """Runs a function of the reactor for each unit."""

    reactor: Any
    function: Callable[[Unit], Any]
    printed: Callable[[bytes], None] | None
    _running: set[Attempt] = field(factory=set, init=False)

    def start(self, unit: wire.Unit) -> Running:
        """Call the function."""
        call = _Call(self)
        attempt = Attempt(self.reactor, unit, self.printed, call.end)
        self._running.add(attempt)
        attempt.done.addCallback(self._ended, attempt)
        call.begin(attempt)
        return attempt

    def _ended(self, outcome: Outcome, attempt: Attempt) -> Outcome:
        self._running.discard(attempt)
        return outcome

    def close(self) -> Deferred[None]:
        """End what runs."""
        for attempt in list(self._running):
            attempt.stop()
        return succeed(None)


@define(eq=False)
class _Call:
    """One call of the function."""

    owner: ReactorFunction
    _attempt: Attempt = field(init=False)
    _result: Deferred[Any] = field(init=False)
    _forced: IDelayedCall | None = field(default=None, init=False)

    def begin(self, attempt: Attempt) -> None:
        self._attempt = attempt
        attempt.begin()
        unit = child.read_unit(document(attempt.unit))
        self._result = maybeDeferred(self._call, unit)
        self._result.addCallbacks(self._returned, self._raised)
        self._result.addErrback(self._raised)

    def _call(self, unit: Unit) -> Any:
        value = self.owner.function(unit)
        return Deferred.fromCoroutine(value) if inspect.iscoroutine(value) else value

    def end(self, grace: float) -> None:
        """Cancel it; settle without it where it does not listen in time."""
        self._result.cancel()
        if self._attempt.done.called:
            return
        if grace > 0:
            self._cancel_forced()
            self._forced = self.owner.reactor.callLater(grace, self._settle, Stopped())
        else:
            self._settle(Stopped())

    def _returned(self, value: Any) -> None:
        try:
            outcome: Outcome = Succeeded(encode(value))
        except UnusableResult as problem:
            outcome = Failed(str(problem), self._attempt.output, permanent=True)
        self._settle(outcome)

    def _raised(self, failure: Failure) -> None:
        self._attempt.print(failure.getTraceback().encode(errors="replace"))
        problem = failure.value
        assert problem is not None
        permanent = isinstance(problem, Permanent)
        why = (str(problem) or "Permanent") if permanent else child.describe(problem)
        self._settle(Failed(why, self._attempt.output, permanent))

    def _settle(self, outcome: Outcome) -> None:
        self._cancel_forced()
        # A function that goes on after it was cancelled says nothing any more.
        if not self._attempt.done.called:
            self._attempt.settle(outcome)

    def _cancel_forced(self) -> None:
        if self._forced is not None and self._forced.active():
            self._forced.cancel()
