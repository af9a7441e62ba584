"""Asking with a limit: an answer in time, and nothing begun that is not finished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.errors import RtbError

__all__ = ["Late", "limited", "shielded", "within"]

_T = TypeVar("_T")
_P = ParamSpec("_P")

log = Logger()


class Late(RtbError):
    """No answer in time."""

    retryable = True


def shielded(original: Deferred[_T]) -> Deferred[_T]:
    """Return a Deferred that fires as *original* does; cancelling it does not reach *original*.

    Klein cancels what it waits for when the client hangs up, and an order half placed would be
    worse than one placed for nobody.
    """
    outer: Deferred[_T] = Deferred()

    def pass_on(result: Any) -> None:
        if not outer.called:
            outer.callback(result)
        elif isinstance(result, Failure):
            _note(result)

    original.addBoth(pass_on)
    return outer


def limited(reactor: IReactorTime, seconds: float, original: Deferred[_T]) -> Deferred[_T]:
    """Return *original*, shielded, or fail with :class:`Late` after *seconds*; it goes on then."""
    answer = shielded(original)

    def settled(result: Any) -> Any:
        if timer.active():
            timer.cancel()
        return result

    timer = reactor.callLater(seconds, lambda: answer.errback(Late()))
    return answer.addBoth(settled)


def within(
    reactor: IReactorTime,
    seconds: float,
    ask: Callable[_P, Awaitable[_T]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Deferred[_T]:
    """Return what *ask* answers, :func:`limited`."""
    return limited(reactor, seconds, maybeDeferred(ask, *args, **kwargs))  # type: ignore[arg-type]


def _note(failure: Failure) -> None:
    if getattr(failure.value, "retryable", False):
        log.debug("failed after nobody waited any more: {why}", why=failure.value)
    else:
        log.failure("failed after nobody waited any more", failure=failure)
