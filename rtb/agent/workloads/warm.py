"""Plain Python functions, in child processes that are kept warm from unit to unit."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from rtb.agent import child
from rtb.agent.results import encode, read
from rtb.agent.workloads.attempt import GRACE, Attempt
from rtb.agent.workloads.contract import Already, Failed, Running, Succeeded, document
from rtb.agent.workloads.group import Exit, Group
from rtb.agent.workloads.launch import Launch
from rtb.model import wire

__all__ = ["WarmFunction", "child_argv"]

_LENGTH = struct.Struct("!I")
#: The fds of the protocol in the child; standard output and error belong to the function.
_TO, _FROM = 3, 4
#: More than any frame that a sane child sends.
_FRAME_BYTES = 256 * 1024


def child_argv(function: str, *fds: int) -> list[str]:
    """Return the command line of a child for *function*, with its protocol at *fds*."""
    # -P: the directory of child.py is no place to import from.
    start = json.dumps({"path": [entry for entry in sys.path if entry]})
    return [sys.executable, "-P", child.__file__, start, function, *map(str, fds)]


@define(eq=False)
class WarmFunction:
    """Runs a plain function for each unit: at most *slots* children wait for the next one."""

    launch: Launch
    function: str
    slots: int
    printed: Callable[[bytes], None] | None
    _idle: list[_Child] = field(factory=list, init=False)
    _children: set[_Child] = field(factory=set, init=False)
    _closed: Deferred[None] | None = field(default=None, init=False)

    def start(self, unit: wire.Unit) -> Running:
        """Give *unit* to a child that waits, or to a new one."""
        try:
            worker = self._idle.pop() if self._idle else self._spawn()
        except OSError as problem:
            return Already(Failed(f"cannot start a process: {problem}", "", permanent=False))
        return worker.begin(unit)

    def _spawn(self) -> _Child:
        worker = _Child(self)
        worker.spawn()
        self._children.add(worker)
        return worker

    def again(self, attempt: Attempt) -> None:
        """Run *attempt*, which its child did not live to begin, in a new child."""
        try:
            self._spawn().run(attempt)
        except OSError as problem:
            attempt.fail(f"cannot start a process: {problem}", permanent=False)

    def close(self) -> Deferred[None]:
        """End the children."""
        self._idle.clear()
        if not self._children:
            self.launch.keeper.close()
            return succeed(None)
        self._closed = Deferred()
        for worker in self._children:
            worker.close()
        return self._closed

    def waits(self, worker: _Child) -> None:
        """*worker* has run its unit."""
        if self._closed is None and len(self._idle) < self.slots:
            self._idle.append(worker)
        else:
            worker.close()

    def lost(self, worker: _Child) -> None:
        """*worker* is gone."""
        self._children.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)

    def ended(self) -> None:
        """A worker is gone, and the unit that it had is settled."""
        if self._closed is not None and not self._children:
            closed, self._closed = self._closed, None
            self.launch.keeper.close()
            closed.callback(None)


@define(eq=False)
class _Child:
    """A child process, and the unit that it runs."""

    log = Logger()

    owner: WarmFunction
    _group: Group = field(init=False)
    _attempt: Attempt | None = field(default=None, init=False)
    #: Of the frames that have not come whole.
    _buffer: bytearray = field(factory=bytearray, init=False)
    _began: bool = field(default=False, init=False)
    _units: int = field(default=0, init=False)

    def spawn(self) -> None:
        self._group = Group(self.owner.launch, self._received, self._ended)
        with Path(os.devnull).open("rb") as nothing:
            fds: dict[int, str | int] = {0: nothing.fileno(), 1: "r", 2: "r", _TO: "w", _FROM: "r"}
            self._group.spawn(child_argv(self.owner.function, _TO, _FROM), {}, fds)

    def begin(self, unit: wire.Unit) -> Attempt:
        launch = self.owner.launch
        attempt = Attempt(launch.reactor, unit, self.owner.printed, self._group.end)
        self.run(attempt)
        attempt.begin()
        return attempt

    def run(self, attempt: Attempt) -> None:
        attempt.end = self._group.end
        self._attempt, self._began = attempt, False
        self._units += 1
        data = document(attempt.unit)
        self._group.write(_TO, _LENGTH.pack(len(data)) + data)

    def close(self) -> None:
        if self._attempt is not None:
            self._attempt.stop()
        else:
            self._group.close(_TO)
            self._group.kill_in(GRACE)

    def _received(self, fd: int, data: bytes) -> None:
        if fd == _FROM:
            self._buffer += data
            self._read_frames()
        elif self._attempt is not None:
            self._attempt.print(data)

    def _read_frames(self) -> None:
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > _FRAME_BYTES:
                self._group.end(0)
                return
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            self._answered(frame)

    def _answered(self, frame: bytes) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        if not frame:
            self._began = True
            return
        # The answer overtakes what was printed before it: they come through different pipes.
        self._group.drain(1)
        if attempt.cut_short:
            # It ended in the moment in which it was ended. Its process dies anyway.
            self._group.end(0)
            return
        self._attempt = None
        self.owner.waits(self)
        _settle(attempt, frame)

    def _ended(self, how: Exit) -> None:
        attempt, self._attempt = self._attempt, None
        self.owner.lost(self)
        self._settle(attempt, how)
        self.owner.ended()

    def _settle(self, attempt: Attempt | None, how: Exit) -> None:
        if attempt is None:
            if how.code != 0:
                self.log.warn(
                    "an idle process of {function} ended: {how}",
                    function=self.owner.function,
                    how=str(how),
                )
        elif not self._began and self._units > 1 and not attempt.cut_short:
            # It died while idle, in the moment in which it was given the unit.
            self.owner.again(attempt)
        else:
            attempt.fail(f"its process ended before it returned: {how}", permanent=False)


def _settle(attempt: Attempt, frame: bytes) -> None:
    kind, rest = frame[:1], frame[1:]
    if kind != b"R":
        attempt.fail(rest.decode(errors="replace"), permanent=kind == b"P")
        return
    try:
        # The child has checked it, but it is the unit's own process.
        result = encode(read(rest))
    except ValueError as problem:
        attempt.fail(str(problem), permanent=True)
    else:
        attempt.settle(Succeeded(result))
