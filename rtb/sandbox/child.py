"""One server as a child process.

It has a session of its own, so that Ctrl-C at a terminal reaches rtb only, which then ends its
servers in order; the kernel ends it when rtb dies without having done so; what it says goes to a
log file, whose tail is in every error.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from rtb.sandbox.accounts import Account
from rtb.sandbox.errors import ServerFailedError
from rtb.sandbox.proc import descendants, end_leftover, identity

__all__ = ["Child", "tail"]

_TAIL_BYTES = 4096


def tail(log: Path) -> str:
    """Return the last lines of the file *log*."""
    with suppress(FileNotFoundError), log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL_BYTES))
        return file.read().decode(errors="replace").strip()
    return ""


class _Life(ProcessProtocol):
    """One life of a server's process."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[str]] = []

    def processEnded(self, reason: Failure) -> None:
        waiting, self.waiting = self.waiting, []
        for deferred in waiting:
            deferred.callback(reason.getErrorMessage())


@define(eq=False)
class Child:
    """A server's process: spawned, watched, signalled and ended."""

    reactor: Any
    name: str
    account: Account
    #: Where its log and the record of its process are.
    directory: Path
    death_signal: signal.Signals
    _process: IProcessTransport | None = field(default=None, init=False)
    _life: _Life = field(factory=_Life, init=False)

    @property
    def log(self) -> Path:
        """The file with what the process says."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The id of the process while it lives."""
        return None if self._process is None else self._process.pid

    @property
    def _record(self) -> Path:
        return self.directory / f"{self.name}.pid"

    async def end_leftover(self, patience: float = 10.0) -> None:
        """End what a killed run left behind."""
        await end_leftover(self.reactor, self._record, self.death_signal, patience)

    def spawn(self, argv: Sequence[str], environment: Mapping[str, str], where: Path) -> None:
        """Begin a life."""
        uid, gid = self.account.spawn_as
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_suffix(".log.old"))
        # util-linux, which every Linux machine has. Both keep the pid. The user is switched
        # before: switching afterwards would clear the signal again.
        command = ["setsid", "setpriv", "--pdeathsig", self.death_signal.name[3:], "--", *argv]
        self._life = _Life()
        with self.log.open("ab") as log, Path(os.devnull).open("rb") as nothing:
            outputs = {0: nothing.fileno(), 1: log.fileno(), 2: log.fileno()}
            self._process = self.reactor.spawnProcess(
                self._life,
                command[0],
                command,
                env=dict(environment),
                path=os.fspath(where),
                uid=uid,
                gid=gid,
                childFDs=outputs,
            )
        assert self.pid is not None
        self._record.write_text(identity(self.pid) or "")
        self.when_ended().addCallback(self._ended)

    def when_ended(self) -> Deferred[str]:
        """Fire with the way in which the present life ended."""
        deferred: Deferred[str] = Deferred()
        if self._process is None:
            deferred.callback("it does not run")
        else:
            self._life.waiting.append(deferred)
        return deferred

    def _ended(self, _how: str) -> None:
        self._process = None
        self._record.unlink(missing_ok=True)

    def signal(self, number: int) -> None:
        """Send *number* to the server's main process, if it lives."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def signal_all(self, number: int) -> None:
        """Send *number* to every process of the server: a parent before its children."""
        for pid in descendants(self.pid) if self.pid is not None else []:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def pause(self) -> None:
        """Freeze every process of the server, as an overloaded machine or a debugger would."""
        self.signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self.signal_all(signal.SIGCONT)

    async def end(self, number: int, patience: float) -> None:
        """Ask the process to end by *number*; kill it with its children after *patience*."""
        ended = self.when_ended()
        self.resume()
        self.signal(number)
        kill = self.reactor.callLater(patience, self.signal_all, signal.SIGKILL)
        await ended
        if kill.active():
            kill.cancel()

    async def run(self, argv: Sequence[str], environment: Mapping[str, str], where: Path) -> None:
        """Spawn, and wait for a good end.

        :raises ServerFailedError: the end was not good
        """
        self.spawn(argv, environment, where)
        try:
            how = await self.when_ended()
        except CancelledError:
            await self.end(signal.SIGKILL, 1.0)
            raise
        if "exit code 0" not in how:
            raise self.failed(how)

    def failed(self, how: str) -> ServerFailedError:
        """Return the error that says *how*, with the tail of the log."""
        return ServerFailedError(
            f"{self.name}: {how}\n  its log, {self.log}, ends with:\n{tail(self.log)}"
        )
