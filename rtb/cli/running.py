"""How a command runs on the reactor, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click
from twisted.internet.defer import Deferred

from rtb.errors import ConfigurationError, RtbError

__all__ = ["EX_CONFIG", "run"]

EX_CONFIG = 78


def run(work: Callable[[Any], Coroutine[Deferred[Any], Any, int]]) -> NoReturn:
    """Run *work* on the reactor, and leave with the exit code that it returns.

    What rtb itself has to say against it is one line on stderr, not a traceback.
    """
    # Here because whoever imports the reactor chooses it.
    from twisted.internet import reactor, task

    from rtb.roles.clock import use_monotonic_clock

    use_monotonic_clock(reactor)

    async def main() -> None:
        try:
            code = await work(reactor)
        except ConfigurationError as problem:
            click.echo(f"rtb: {problem}", err=True)
            code = EX_CONFIG
        except RtbError as problem:
            click.echo(f"rtb: {problem}", err=True)
            code = 1
        raise SystemExit(code)

    task.react(lambda _reactor: Deferred.fromCoroutine(main()), _reactor=reactor)
