"""One process with all that it starts: spawned, asked to end, ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, field, frozen
from twisted.internet.error import ConnectionDone, ProcessTerminated
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from rtb.agent.workloads.launch import Launch

__all__ = ["Exit", "Group"]

#: How long output pipes may stay open, held by a process that left the group, once it is over.
_PIPES = 1.0
#: Of 8 KiB each: twice what a pipe holds, so that a writer that never stops cannot hold us here.
_DRAIN_READS = 16


@frozen
class Exit:
    """How a process ended: by itself, with a code, or by a signal."""

    code: int | None
    signal: int | None

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.code}"
        try:
            return f"killed by {signal.Signals(self.signal).name}"
        except ValueError:
            return f"killed by signal {self.signal}"


@define(eq=False, slots=False)
class Group(ProcessProtocol):
    """A process in a session, and so in a process group, of its own.

    When it ends, the rest of the group is ended with it: a unit leaves nothing running.
    """

    launch: Launch
    received: Callable[[int, bytes], None]
    ended: Callable[[Exit], None]
    #: IProcessTransport, of which drain() needs more than the interface says.
    _process: Any = field(default=None, init=False)
    _pid: int | None = field(default=None, init=False)
    _later: IDelayedCall | None = field(default=None, init=False)
    _read: int = field(default=0, init=False)

    def spawn(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str],
        fds: Mapping[int, str | int],
    ) -> None:
        """Start *argv* with *variables* added to its environment.

        :raises OSError: the machine is out of something
        """
        words = [*self.launch.words, *argv]
        environment = self.launch.environment | dict(variables)
        self.launch.reactor.spawnProcess(self, words[0], words, env=environment, childFDs=dict(fds))

    def connectionMade(self) -> None:
        """Have it watched: it lives."""
        self._process = self.transport
        self._pid = self._process.pid
        self.launch.keeper.watch(self._pid)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Pass on what it wrote."""
        self._read += len(data)
        self.received(childFD, data)

    def write(self, fd: int, data: bytes) -> None:
        """Write *data* to its file descriptor *fd*."""
        self._process.writeToChild(fd, data)

    def close(self, fd: int) -> None:
        """Let it read the end of file at *fd*."""
        self._process.closeChildFD(fd)

    def drain(self, fd: int) -> None:
        """Read what waits in the pipe *fd*, up to the most that a pipe holds."""
        for _ in range(_DRAIN_READS):
            before, reader = self._read, self._process.pipes.get(fd)
            if reader is None or reader.doRead() is not None or self._read == before:
                return

    def end(self, grace: float) -> None:
        """End the group: ask it by SIGTERM, and kill it *grace* seconds later."""
        if self._pid is None:
            return
        if grace > 0:
            self._signal(signal.SIGTERM)
            self.kill_in(grace)
        else:
            self._signal(signal.SIGKILL)

    def kill_in(self, seconds: float) -> None:
        """Kill the group in so many *seconds* if it has not ended by then."""
        if self._pid is not None:
            self._cancel_later()
            later = self.launch.reactor.callLater
            self._later = later(seconds, self._signal, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        assert self._pid is not None
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            # It has not come to setsid yet.
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def processExited(self, reason: Failure) -> None:
        """End what it left running."""
        # The group keeps its number while anything is left in it, and where nothing is, the
        # number was free for too short a time to belong to somebody else.
        assert self._pid is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        self.launch.keeper.forget(self._pid)
        self._pid = None
        self._cancel_later()
        self._later = self.launch.reactor.callLater(_PIPES, self._close_pipes)

    def _close_pipes(self) -> None:
        for pipe in list(self._process.pipes.values()):
            pipe.stopReading()
            pipe.stopWriting()
            pipe.connectionLost(Failure(ConnectionDone()))

    def processEnded(self, reason: Failure) -> None:
        """Say how it ended, now that all it wrote is read."""
        self._cancel_later()
        problem = reason.value
        if isinstance(problem, ProcessTerminated):
            self.ended(Exit(problem.exitCode, problem.signal))
        else:
            self.ended(Exit(0, None))

    def _cancel_later(self) -> None:
        if self._later is not None and self._later.active():
            self._later.cancel()
