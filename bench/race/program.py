"""A program of a system's, as a child that is told and answers in lines."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fair.line import LEASH
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

_PATIENCE = 8.0


class ProgramEndedError(Exception):
    """A program ended before its time; its log says why."""


class _Life(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.waits: Deferred[str] | None = None
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if self.waits is not None:
                waits, self.waits = self.waits, None
                waits.callback(line.decode())

    def processExited(self, reason: Failure) -> None:
        # Not processEnded: a child that it leaves behind may hold its output open.
        self.ended.callback(None)
        if self.waits is not None:
            waits, self.waits = self.waits, None
            waits.errback(ProgramEndedError(reason.getErrorMessage()))


class Program:
    """One run of *words*, whose standard error goes to the file *log*."""

    def __init__(
        self, reactor: Any, words: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self._reactor = reactor
        self._life = _Life()
        with log.open("ab") as file:
            self._transport = reactor.spawnProcess(
                self._life,
                LEASH[0],
                [*LEASH, *words],
                env={**os.environ, **environment},
                path=str(Path(__file__).parents[1] / "peers"),
                childFDs={0: "w", 1: "r", 2: file.fileno()},
            )
        self.pid = int(self._transport.pid)

    @property
    def alive(self) -> bool:
        """Does it run?"""
        return not self._life.ended.called

    async def line(self) -> str:
        """Return the next line that it says.

        :raises ProgramEndedError: it ends instead
        """
        if not self.alive:
            raise ProgramEndedError("it has ended")
        self._life.waits = Deferred()
        return await self._life.waits

    async def ask(self, what: str) -> dict[str, Any]:
        """Say *what*, and return the answer."""
        self._transport.write(what.encode() + b"\n")
        found: dict[str, Any] = json.loads(await self.line())
        return found

    async def end(self) -> None:
        """End it: first by the end of its input and a word, at last by force."""
        if self.alive:
            self._transport.closeStdin()
            self._signal("TERM")
            kill = self._reactor.callLater(_PATIENCE, self._signal, "KILL")
            await self._life.ended
            if kill.active():
                kill.cancel()

    def _signal(self, name: str) -> None:
        with suppress(ProcessExitedAlready):
            self._transport.signalProcess(name)
