"""A place in the system where a role runs, and is started again whenever it has ended."""

from __future__ import annotations

import os
import re
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

from rtb.failpoint import LOSSES, POINTS

__all__ = ["LAUNCH", "End", "Slot", "clocks_can_step"]

#: What starts twistd, under the interpreter that runs this.
LAUNCH = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
#: The kernel ends the role when the checker dies without having done so.
_BOUND = ("setsid", "setpriv", "--pdeathsig", "KILL", "--")
_FAILPOINT = 137
#: Lets a program's wall clock be set, and leaves the monotonic one alone; Debian's package of that
#: name. The loader puts in the machine's own directory for libraries.
_FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"
_MET = re.compile(rb"^failpoint (?P<point>[a-z0-9-]+): ", re.MULTILINE)
#: Where that library keeps what a killed process leaves.
_SHARED = Path("/dev/shm")  # noqa: S108 not a file of ours, and only removed


@attrs.frozen
class End:
    """How a life of a role ended."""

    at: float
    slot: str
    kind: str
    #: "kill", "term", or the failpoint that was met; empty when nobody asked for it.
    cause: str
    how: str
    #: The messages that it lost, as failpoints.
    lost: tuple[str, ...] = ()


def clocks_can_step() -> bool:
    """Is the library there that sets the clock of a single process?"""
    places = (Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu*"), Path("/usr/lib64"))
    return any((place / "faketime/libfaketime.so.1").exists() for place in places)


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
    _log_began: int = 0
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

    @property
    def ending(self) -> bool:
        """Is it gone, or was it told to go?"""
        return self.pid is None or self._cause != ""

    def start(self) -> None:
        """Begin, and begin again until :meth:`stop` or :meth:`retire`."""
        self._wanted = True
        self.armed = self.failpoint(self)
        self._cause = ""
        environment = dict(self.environment)
        if self.armed:
            environment["RTB_FAILPOINT"] = self.armed
        if clocks_can_step():
            environment |= self._clock()
        self._log_began = self.log.stat().st_size if self.log.exists() else 0
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

    def step_clock(self, seconds: int) -> None:
        """Set its wall clock *seconds* off, from now on and in its next lives."""
        new = self._offset.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._offset)

    @property
    def _offset(self) -> Path:
        return self.directory / f"{self.name}.clock"

    def _clock(self) -> dict[str, str]:
        if not self._offset.exists():
            self.step_clock(0)
        return {
            "LD_PRELOAD": _FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": os.fspath(self._offset),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

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
        met = self._met()
        for name in (f"faketime_shm_{self.pid}", f"sem.faketime_sem_{self.pid}"):
            (_SHARED / name).unlink(missing_ok=True)
        self.pid = None
        self.thawed_at = self.reactor.seconds()
        cause, how = self._cause, reason.getErrorMessage()
        if value.signal == signal.SIGKILL and cause == "kill":
            pass
        elif value.exitCode == _FAILPOINT and met and met[-1] in POINTS:
            cause = met[-1]
        elif value.exitCode == 0 and cause == "term":
            how = "exit code 0"
        elif value.signal == signal.SIGTERM and cause == "term":
            how = "SIGTERM, before it had a handler for it"
        elif cause != "kill":
            cause = ""
        lost = tuple(point for point in met if point in LOSSES)
        self.ended_with(End(self.reactor.seconds(), self.name, self.kind, cause, how, lost))
        waiting, self._ended = self._ended, []
        for deferred in waiting:
            deferred.callback(None)
        if self._wanted:
            self._again = self.reactor.callLater(0.1, self.start)

    def _met(self) -> list[str]:
        """Return the failpoints that this life says it has met."""
        with self.log.open("rb") as log:
            log.seek(self._log_began)
            return [match["point"].decode() for match in _MET.finditer(log.read())]

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
