"""Agents as child processes of the leader.

Each has a session of its own, so that it outlives a leader that is killed; the next one adopts it
when it answers the roll call. Its end is seen at once either way, and what it ran is known lost.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import attrs
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.leader.launcher import Crew
from rtb.leader.watch import Watched, watch
from rtb.model.wire import Launching, Presence, Track

__all__ = ["COMMAND", "MARK", "LocalLauncher"]

#: An agent in the foreground, in this very Python.
COMMAND = (
    sys.executable, "-c", "from twisted.scripts.twistd import run; run()",
    "-n", "--pidfile=", "rtb-agent",
)  # fmt: skip
#: The variable that tells an agent, and whoever looks at its process, what it was started in.
MARK = "RTB_AGENT_CONTAINER"
_PREFIX = "local-"
#: Seconds until the next start after one that ended before it said hello: doubled each time.
_BACKOFF, _BACKOFF_MOST = 1.0, 60.0
#: Seconds that an agent which is gone has to end by itself.
_PATIENCE = 10.0


class _Stage(Enum):
    STARTING = auto()
    #: It said hello.
    RUNNING = auto()
    #: It was told to leave.
    LEAVING = auto()


@attrs.define(eq=False)
class _Process(ProcessProtocol):
    """A process that is an agent, or becomes one."""

    container: str
    ended: Callable[[_Process, str], None]
    stage: _Stage = _Stage.STARTING
    watched: Watched | None = None
    killing: IDelayedCall | None = None

    def processEnded(self, reason: Failure) -> None:
        self.ended(self, reason.getErrorMessage().rstrip("."))

    def send(self, number: Signals) -> None:
        if self.watched is not None:
            self.watched.signal(number)
        elif self.transport is not None and self.transport.pid is not None:
            os.kill(self.transport.pid, number)  # not reaped yet, so it is still that process


class LocalLauncher:
    """Keeps agents as processes of this machine.

    :param host: the name by which agents of this machine know it
    :param environment: of an agent
    :param logs: directory for what agents print; None: where the leader prints
    :param token: makes a random word
    """

    _log = Logger()
    kind = "local"

    def __init__(
        self,
        reactor: Any,
        *,
        host: str,
        environment: Mapping[str, str],
        logs: Path | None,
        token: Callable[[], str],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._environment = dict(environment)
        self._logs = logs
        self._token = token
        self._command = list(command)
        self._processes: dict[str, _Process] = {}
        self._wanted = 0
        self._crew: Crew | None = None
        self._delay = 0.0
        self._next: IDelayedCall | None = None
        self._problem = ""

    # ---- as a launcher

    def begin(self, crew: Crew) -> None:
        """Keep agents from now on."""
        self._crew = crew

    def end(self) -> None:
        """Start no more. Those that run go on: the next leader adopts them, or they end alone."""
        self._crew = None
        self._wanted = 0
        if self._next is not None and self._next.active():
            self._next.cancel()

    def want(self, number: int) -> None:
        """Start what is missing."""
        self._wanted = number
        self._fill()

    def heard(self, track: Track) -> None:
        """Adopt a process that an earlier leader of this machine started."""
        if not self.owns(track) or track.presence is Presence.GONE:
            return
        process = self._processes.get(track.container)
        if process is None:
            process = self._adopt(track)
        if process is not None and process.stage is _Stage.STARTING:
            process.stage = _Stage.RUNNING
            self._delay, self._problem = 0.0, ""

    def owns(self, track: Track) -> bool:
        """Is it a process of this machine that a leader started?"""
        return track.container.startswith(_PREFIX) and track.host == self._host

    def bars(self, track: Track) -> bool:
        """Is it to leave?"""
        process = self._processes.get(track.container)
        return process is not None and process.stage is _Stage.LEAVING

    def told(self, track: Track) -> None:
        """It does not count any more."""
        process = self._processes.get(track.container)
        if process is not None:
            process.stage = _Stage.LEAVING

    def gone(self, track: Track) -> None:
        """It ends by itself now; see that it does."""
        process = self._processes.get(track.container)
        if process is not None and process.killing is None:
            process.stage = _Stage.LEAVING
            process.killing = self._reactor.callLater(_PATIENCE, process.send, SIGKILL)

    @property
    def size(self) -> int:
        """Processes that do not leave."""
        return len(self._processes) - self._count(_Stage.LEAVING)

    def log_of(self, track: Track) -> str:
        """Return the file that it prints to."""
        if self._logs is None or not self.owns(track):
            return ""
        return str(self._logs / f"{track.container}.log")

    def state(self) -> Launching:
        """Return what reports say of it."""
        return Launching(
            kind=self.kind,
            wanted=self._wanted,
            starting=self._count(_Stage.STARTING),
            running=self._count(_Stage.RUNNING),
            leaving=self._count(_Stage.LEAVING),
            problem=self._problem,
        )

    def release(self, tracks: Sequence[Track]) -> None:
        """End those of *tracks*; those that work go on for the next leader, or end alone."""
        for track in tracks:
            process = self._processes.get(track.container)
            if process is not None:
                process.stage = _Stage.LEAVING
                process.send(SIGTERM)

    # ---- processes

    def _count(self, stage: _Stage) -> int:
        return sum(process.stage is stage for process in self._processes.values())

    def _fill(self) -> None:
        if self._crew is None or (self._next is not None and self._next.active()):
            return
        while self.size < self._wanted:
            if self._delay and self._count(_Stage.STARTING):
                break  # one is enough to see whether they start now, and it has not told yet
            self._start()

    def _start(self) -> None:
        container = _PREFIX + self._token()
        process = self._processes[container] = _Process(container, self._ended)
        outputs = self._outputs(container)
        try:
            self._reactor.spawnProcess(
                process,
                "setsid",
                ["setsid", *self._command],
                env={**self._environment, MARK: container},
                childFDs=outputs,
            )
        finally:
            for descriptor in {outputs[0], outputs[1]} - {1}:
                os.close(descriptor)

    def _outputs(self, container: str) -> dict[int, int]:
        nothing = os.open(os.devnull, os.O_RDONLY)
        if self._logs is None:
            return {0: nothing, 1: 1, 2: 2}
        self._logs.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(self._logs / f"{container}.log", flags, 0o600)
        return {0: nothing, 1: log, 2: log}

    def _adopt(self, track: Track) -> _Process | None:
        container = track.container
        process = _Process(container, self._ended, stage=_Stage.RUNNING)
        process.watched = watch(
            self._reactor,
            track.pid,
            f"{MARK}={container}",
            lambda: self._ended(process, "its process ended"),
        )
        if process.watched is None:
            return None
        self._processes[container] = process
        return process

    def _ended(self, process: _Process, how: str) -> None:
        self._processes.pop(process.container, None)
        if process.killing is not None and process.killing.active():
            process.killing.cancel()
        crew = self._crew
        if crew is None:
            return
        if process.stage is _Stage.STARTING:
            self._wait(how)
        crew.exited(process.container, how)
        crew.changed()
        self._fill()

    def _wait(self, how: str) -> None:
        """One ended before it said hello: another will, too, until somebody changes something."""
        self._problem = f"an agent ended before it said hello ({how})"
        if self._next is None or not self._next.active():
            self._delay = min(max(_BACKOFF, self._delay * 2), _BACKOFF_MOST)
            self._log.warn(
                "{problem}; the next try in {delay:g} s", problem=self._problem, delay=self._delay
            )
            self._next = self._reactor.callLater(self._delay, self._fill)
