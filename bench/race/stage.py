"""What every bench here shares: private servers, a place for logs, and how far it is."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred

from race.entries import Place
from rtb.sandbox import Sandbox
from rtb.sandbox.child import tail


@attrs.define
class Progress:
    """Says on standard error what is done, and about how long the rest takes.

    :param expected: seconds that a step of each name takes, corrected by those that were taken
    """

    clock: Callable[[], float]
    steps: list[str]
    expected: dict[str, float]
    _done: int = 0
    _began: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._began = self.clock()

    def left(self, most: int | None = None) -> float:
        """Return about how many seconds the steps that are left (the next *most* of them) take."""
        upto = len(self.steps) if most is None else self._done + most
        return sum(self.expected[step] for step in self.steps[self._done : upto])

    def begins(self) -> None:
        """The next step begins."""
        self._began = self.clock()
        number, step = self._done + 1, self.steps[self._done]
        say(f"[{number}/{len(self.steps)}] {step} … (about {minutes(self.left())} to go)")

    def ended(self, found: str) -> None:
        """The step has ended, and *found* is what came out."""
        step = self.steps[self._done]
        self.expected[step] = self.clock() - self._began
        self._done += 1
        say(f"    {found}")


def minutes(seconds: float) -> str:
    """Return *seconds* as people say them."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def emit(**values: object) -> None:
    """Print a result as a line of JSON."""
    print(json.dumps({key: _rounded(value) for key, value in values.items()}), flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value


async def settings(sandbox: Sandbox) -> dict[str, Any]:
    """Return on what and with which settings it is measured."""
    shown = {}
    for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers"):
        shown[name] = await sandbox.postgres.sql(f"SHOW {name}")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": shown,
        "rabbitmq": (await sandbox.rabbit.control("version")).strip(),
    }


def on_servers(work: Callable[[Place], Awaitable[int]]) -> None:
    """Run *work* on fresh private servers that sync what they commit; leave with its exit code.

    Ended by a signal, it takes everything down first, and leaves with 1.
    """

    directory = Path(tempfile.mkdtemp(prefix="rtb-bench-"))
    directory.chmod(0o711)

    async def run(reactor: Any) -> int:
        sandbox = Sandbox(reactor, directory / "servers", durable=True)
        try:
            await sandbox.start()
            return await work(Place(reactor=reactor, sandbox=sandbox, directory=directory))
        except CancelledError:
            say("cut short")
            return 1
        except BaseException:
            for log in sorted(directory.glob("*.log")):
                say(f"{log.name} ends with:\n{tail(log)}")
            raise
        finally:
            await sandbox.stop()

    async def main(reactor: Any) -> None:
        raise SystemExit(await run(reactor))

    def react(reactor: Any) -> Deferred[None]:
        over: Deferred[None] = Deferred()
        running = Deferred.fromCoroutine(main(reactor)).addBoth(_and_fire, over)

        def signalled() -> Deferred[None]:
            running.cancel()
            return over  # the reactor does not stop before all is taken down

        reactor.addSystemEventTrigger("before", "shutdown", signalled)
        return running

    try:
        task.react(react)
    finally:
        # Of a server that did not end in time some file may stay.
        shutil.rmtree(directory, ignore_errors=True)


def _and_fire(result: Any, over: Deferred[None]) -> Any:
    over.callback(None)
    return result
