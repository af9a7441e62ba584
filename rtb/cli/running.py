"""How a command runs on the reactor, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click
from twisted.internet.defer import Deferred

from rtb.errors import ConfigurationError, RtbError

__all__ = [
    "EX_CONFIG",
    "INTERRUPTED",
    "NOT_FOUND",
    "SOME_FAILED",
    "TIMED_OUT",
    "UNAVAILABLE",
    "run",
]

EX_CONFIG = 78
NOT_FOUND = 4
TIMED_OUT = 5
SOME_FAILED = 3
UNAVAILABLE = 69
#: Ctrl-C, or SIGTERM, before the work came to its end.
INTERRUPTED = 130


def run(work: Callable[[Any], Coroutine[Deferred[Any], Any, int]]) -> NoReturn:
    """Run *work* on the reactor, and leave with the exit code that it returns.

    What rtb itself has to say against it is one line on stderr, not a traceback.
    """
    # Here because whoever imports the reactor chooses it.
    from twisted.internet import reactor, task

    from rtb.roles.clock import use_monotonic_clock

    use_monotonic_clock(reactor)
    codes: list[int] = []

    async def main() -> None:
        try:
            code = await work(reactor)
        except ConfigurationError as problem:
            click.echo(f"rtb: {problem}", err=True)
            code = EX_CONFIG
        except RtbError as problem:
            click.echo(f"rtb: {problem}", err=True)
            code = _code(problem)
        codes.append(code)

    try:
        task.react(lambda _reactor: Deferred.fromCoroutine(main()), _reactor=reactor)
    except SystemExit as ended:
        if ended.code:
            raise  # the work failed in a way that nobody expected: react has said how
    # A signal stops the reactor, and for react that is no failure.
    raise SystemExit(codes[0] if codes else INTERRUPTED)


def _code(problem: RtbError) -> int:
    # Here because it is slow to import, and only a command that asks the API raises these.
    from rtb.client import ApiUnreachableError, ClientError

    match problem:
        case ApiUnreachableError():
            return UNAVAILABLE
        case ClientError(status=404):
            return NOT_FOUND
        case ClientError(status=503):
            return UNAVAILABLE
    return 1
