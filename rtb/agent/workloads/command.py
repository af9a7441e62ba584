"""Units that a program runs, one process each; ``docs/workloads.md`` is the contract."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed

from rtb.agent.results import UnusableResult
from rtb.agent.workloads.attempt import Attempt
from rtb.agent.workloads.contract import Already, Failed, Running, Succeeded, document
from rtb.agent.workloads.group import Exit, Group
from rtb.agent.workloads.lastline import LastLine
from rtb.agent.workloads.launch import Launch
from rtb.errors import ConfigurationError
from rtb.model import wire

__all__ = ["Command", "make_command"]

#: EX_DATAERR of sysexits.h: the unit is wrong, and stays so.
_PERMANENT = 65


def make_command(
    reactor: Any, argv: Sequence[str], printed: Callable[[bytes], None] | None
) -> Command:
    """Return the workload that runs *argv*.

    :raises ConfigurationError: there is no such program
    """
    program = shutil.which(argv[0], path=os.environ.get("PATH", os.defpath))
    if program is None:
        raise ConfigurationError(f"there is no program {argv[0]!r} that can be run here")
    launch = Launch.here(reactor, os.environ)
    return Command(launch, [os.path.abspath(program), *argv[1:]], printed)


@define(eq=False)
class Command:
    """Runs a program for each unit."""

    launch: Launch
    argv: list[str]
    printed: Callable[[bytes], None] | None
    _running: set[_Process] = field(factory=set, init=False)
    _closed: Deferred[None] | None = field(default=None, init=False)

    def start(self, unit: wire.Unit) -> Running:
        """Spawn the program."""
        process = _Process(self, unit)
        try:
            process.begin()
        except OSError as problem:
            return Already(Failed(f"cannot start {self.argv[0]}: {problem}", "", permanent=False))
        self._running.add(process)
        return process.attempt

    def close(self) -> Deferred[None]:
        """End what runs."""
        if not self._running:
            self.launch.keeper.close()
            return succeed(None)
        self._closed = Deferred()
        for process in self._running:
            process.attempt.stop()
        return self._closed

    def ended(self, process: _Process) -> None:
        """One of the processes is gone."""
        self._running.discard(process)
        if self._closed is not None and not self._running:
            closed, self._closed = self._closed, None
            self.launch.keeper.close()
            closed.callback(None)


@define(eq=False)
class _Process:
    """One unit in its process."""

    command: Command
    unit: wire.Unit
    attempt: Attempt = field(init=False)
    _group: Group = field(init=False)
    _last: LastLine = field(factory=LastLine, init=False)

    def begin(self) -> None:
        unit, launch = self.unit, self.command.launch
        self._group = group = Group(launch, self._received, self._ended)
        self.attempt = Attempt(launch.reactor, unit, self.command.printed, group.end)
        variables = {
            "RTB_UNIT": str(unit.unit),
            "RTB_ATTEMPT": str(unit.attempt),
            "RTB_ORDER": str(unit.order),
        }
        group.spawn(self.command.argv, variables, {0: "w", 1: "r", 2: "r"})
        group.write(0, document(unit) + b"\n")
        group.close(0)
        self.attempt.begin()

    def _received(self, fd: int, data: bytes) -> None:
        self.attempt.print(data)
        if fd == 1:
            self._last.feed(data)

    def _ended(self, how: Exit) -> None:
        self._settle(how)
        self.command.ended(self)

    def _settle(self, how: Exit) -> None:
        if how.code != 0:
            self.attempt.fail(str(how), permanent=how.code == _PERMANENT)
            return
        try:
            result = self._last.result()
        except UnusableResult as problem:
            self.attempt.fail(str(problem), permanent=True)
        else:
            self.attempt.settle(Succeeded(result))
