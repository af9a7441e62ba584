"""A place in the system where a role runs, and is started again whenever it has ended."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

__all__ = ["LAUNCH", "End", "Slot"]

#: What starts twistd, under the interpreter that runs this.
LAUNCH = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
#: The kernel ends the role when the checker dies without having done so.
_BOUND = ("setsid", "setpriv", "--pdeathsig", "KILL", "--")
_FAILPOINT = 137


@attrs.frozen
class End:
    """How a life of a role ended."""

    at: float
    slot: str
    kind: str
    #: "kill", "term", or the failpoint that was met; empty when nobody asked for it.
    cause: str
    how: str


class _Life(ProcessProtocol):
    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def processEnded(self, reason: Failure) -> None:
        self._slot.ended(reason)


@attrs.define(eq=False)
class Slot:
    """Runs the role *kind* (``api``, ``leader`` or ``agent``)."""

    reactor: Any
    name: str
    kind: str
    environment: Mapping[str, str]
    directory: Path
    launch: Sequence[str] = LAUNCH
    #: Asked for the failpoint of each new life, as RTB_FAILPOINT has it.
    failpoint: Callable[[Slot], str] = lambda slot: ""
    ended_with: Callable[[End], None] = lambda end: None
    #: Counts its lives; None of them goes on while this is unchanged.
    generation: int = 0
    pid: int | None = None
    born_at: float = 0.0
    #: When it was last frozen, and when it went on; the latter is later, or it is frozen.
    frozen_at: float = -1.0
    thawed_at: float = 0.0
    #: RTB_FAILPOINT of this life.
    armed: str = ""
    _cause: str = ""
    _wanted: bool = False
    _again: IDelayedCall | None = None
    _ended: list[Deferred[None]] = attrs.field(factory=list)

    @property
    def log(self) -> Path:
        """What all its lives said."""
        return self.directory / f"{self.name}.log"

    @property
    def frozen(self) -> bool:
        """Does it stand still?"""
        return self.frozen_at > self.thawed_at

    def start(self) -> None:
        """Begin, and begin again until :meth:`stop` or :meth:`retire`."""
        self._wanted = True
        self.armed = self.failpoint(self)
        self._cause = ""
        environment = dict(self.environment)
        if self.armed:
            environment["RTB_FAILPOINT"] = self.armed
        argv = [*_BOUND, *self.launch, "-n", "--pidfile=", f"rtb-{self.kind}"]
        with self.log.open("ab") as log, Path(os.devnull).open("rb") as nothing:
            process = self.reactor.spawnProcess(
                _Life(self),
                argv[0],
                argv,
                env=environment,
                path=os.fspath(self.directory),
                childFDs={0: nothing.fileno(), 1: log.fileno(), 2: log.fileno()},
            )
        self.pid = process.pid
        self.generation += 1
        self.born_at = self.reactor.seconds()

    def kill(self) -> bool:
        """End it by SIGKILL; say whether it lived."""
        return self._end("kill", signal.SIGKILL)

    def terminate(self) -> bool:
        """Ask it to end by SIGTERM; say whether it lived."""
        return self._end("term", signal.SIGTERM)

    def retire(self) -> None:
        """End it for good, by SIGKILL."""
        self._wanted = False
        self._cancel()
        self.kill()

    def freeze(self) -> None:
        """Stop it where it is."""
        if self.pid is not None and not self.frozen:
            self.frozen_at = self.reactor.seconds()
            self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.frozen:
            self._signal(signal.SIGCONT)
            self.thawed_at = self.reactor.seconds()

    def lived_through(self, generation: int, since: float) -> bool:
        """Has this life, and no pause, lasted since *since*?"""
        return (
            generation == self.generation
            and self.pid is not None
            and not self._cause
            and not self.frozen
            and self.thawed_at < since
        )

    async def stop(self, limit: float = 15.0) -> None:
        """End it in order, for good."""
        self._wanted = False
        self._cancel()
        if self.pid is None:
            return
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        self.thaw()
        self._end("term", signal.SIGTERM)
        killing = self.reactor.callLater(limit, self._overdue)
        await ended
        if killing.active():
            killing.cancel()

    def ended(self, reason: Failure) -> None:
        """Note how a life ended; begin the next one."""
        value: Any = reason.value
        self.pid = None
        self.thawed_at = self.reactor.seconds()
        cause, how = self._cause, reason.getErrorMessage()
        if value.signal == signal.SIGKILL and cause == "kill":
            pass
        elif value.exitCode == _FAILPOINT and self.armed:
            cause = self.armed.partition(":")[0]
        elif value.exitCode in (0, None) and value.signal is None and cause == "term":
            how = "exit code 0"
        elif cause != "kill":
            cause = ""
        self.ended_with(End(self.reactor.seconds(), self.name, self.kind, cause, how))
        waiting, self._ended = self._ended, []
        for deferred in waiting:
            deferred.callback(None)
        if self._wanted:
            self._again = self.reactor.callLater(0.1, self.start)

    def _end(self, cause: str, number: int) -> bool:
        if self.pid is None:
            return False
        self._cause = cause
        self._signal(number)
        return True

    def _overdue(self) -> None:
        self._cause = ""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _cancel(self) -> None:
        if self._again is not None and self._again.active():
            self._again.cancel()
