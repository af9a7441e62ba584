"""``rtb try``: run one unit here, in the foreground, without any server."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from typing import Any, BinaryIO

import attrs
import click
import msgspec

from rtb.errors import ConfigurationError
from rtb.model import wire

__all__ = ["try_"]

_SUCCESS, _FAILED, _INTERRUPTED = 0, 3, 130


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    """The document that describes the unit; all of it may be left out."""

    id: int = 1
    name: str = "try"
    order: int = 1
    attempt: int = 1
    payload: msgspec.Raw = msgspec.Raw(b"{}")


@click.command("try")
@click.argument("workload")
@click.argument("unit", metavar="[UNIT.json]", required=False, type=click.File("rb"))
@click.option("--limit", type=click.FloatRange(0, min_open=True), help="Seconds it may run.")
def try_(workload: str, unit: BinaryIO | None, limit: float | None) -> None:
    """Run one unit of WORKLOAD here, in the foreground, without any server.

    WORKLOAD is a name from RTB_WORKLOADS, or what could stand there: coinflip, noop,
    command:ARGV, python:MODULE:FUNCTION. UNIT.json, or - for standard input, is the document
    that a command reads: {"id", "name", "order", "attempt", "payload"}, of which all may be left
    out.

    What the unit prints goes to standard error, its result to standard output. The exit code is
    0 for a success and 3 for a failure.
    """
    # Not at the top: `rtb --help` has no need of it.
    from rtb.settings import Settings

    given = _read(unit) if unit is not None else _Given()
    try:
        specs = Settings.load({}, os.environ, role="agent").workloads
    except ConfigurationError as problem:
        raise click.UsageError(str(problem)) from problem
    sys.exit(_run(specs.get(workload, workload), _wire_unit(given, workload, limit)))


def _read(file: BinaryIO) -> _Given:
    try:
        return msgspec.json.decode(file.read(), type=_Given)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise click.UsageError(f"UNIT.json is not a unit: {problem}") from problem


def _wire_unit(given: _Given, workload: str, limit: float | None) -> wire.Unit:
    return wire.Unit(
        unit=given.id,
        attempt=given.attempt,
        account="default",
        weight=1.0,
        priority=0,
        workload=workload,
        limit=limit,
        order=given.order,
        name=given.name,
        payload=given.payload,
    )


def _run(spec: str, unit: wire.Unit) -> int:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    trial = _Trial(reactor, spec, unit)
    trial.make()
    # What a function on the reactor prints is not the result.
    with contextlib.redirect_stdout(sys.stderr):
        trial.reactor.callWhenRunning(lambda: Deferred.fromCoroutine(trial.run()))
        trial.reactor.run()
    if trial.problem is not None:
        raise trial.problem
    sys.stdout.flush()
    return trial.report()


@attrs.define(eq=False)
class _Trial:
    """One unit, from the start of the reactor to its end."""

    reactor: Any
    spec: str
    unit: wire.Unit
    problem: BaseException | None = attrs.field(default=None, init=False)
    _workload: Any = attrs.field(default=None, init=False)
    _outcome: Any = attrs.field(default=None, init=False)

    def make(self) -> None:
        """Look for the program, or import the function."""
        from rtb.agent.workloads import make_workload

        try:
            self._workload = make_workload(
                self.reactor,
                self.spec,
                slots=1,
                random=random.Random(),  # noqa: S311
                printed=_print,
            )
        except ConfigurationError as problem:
            raise click.UsageError(f"{self.spec}: {problem}") from problem

    async def run(self) -> None:
        """Run the unit, and end the reactor."""
        from twisted.internet.error import ReactorNotRunning

        # Ctrl-C and SIGTERM, too, end the unit in this way.
        self.reactor.addSystemEventTrigger("before", "shutdown", self._workload.close)
        try:
            self._outcome = await self._workload.start(self.unit).done
        except BaseException as problem:
            self.problem = problem
        finally:
            with contextlib.suppress(ReactorNotRunning):
                self.reactor.stop()

    def report(self) -> int:
        """Print how it ended; return the exit code."""
        from rtb.agent.workloads import Failed, Succeeded

        match self._outcome:
            case Succeeded(result=result):
                click.echo(result)
                return _SUCCESS
            case Failed(why=why, permanent=permanent):
                again = "it would not be tried again" if permanent else "it would be tried again"
                click.echo(f"failed: {why} ({again})", err=True)
                return _FAILED
        click.echo("interrupted", err=True)
        return _INTERRUPTED


def _print(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()
