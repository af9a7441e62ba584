"""Processes as the kernel shows them: who lives, who is whose child, who is left from another run.

A pid alone does not name a process, because pids come again; a pid with the moment at which the
process started does.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from os import kill
from pathlib import Path

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

__all__ = ["descendants", "end_leftover", "end_those_below", "end_those_in", "identity"]

_LOOK_EVERY = 0.1


def identity(pid: int) -> str | None:
    """Return what tells the living process *pid* from any other one; None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie has ended; it only waits for a parent that may never ask.
    return None if fields[0] in "ZX" else f"{pid} {fields[19]}"


def descendants(pid: int) -> list[int]:
    """Return *pid* and the processes that descend from it, parents first."""
    found = [pid]
    for parent in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            found.extend(int(child) for child in children.split())
    return found


def _working(here: Callable[[Path], bool]) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if here((entry / "cwd").readlink()):
                found.append(int(entry.name))
    return found


async def end_those_in(reactor: IReactorTime, place: Path, patience: float) -> None:
    """Return when no process works in the directory *place*; kill those that stay."""
    await _end_those(reactor, place.resolve().__eq__, patience)


async def end_those_below(reactor: IReactorTime, place: Path, patience: float) -> None:
    """Return when no process works in *place* or a directory below it; kill those that stay."""
    above = place.resolve()
    await _end_those(reactor, lambda where: where.is_relative_to(above), patience)


async def _end_those(reactor: IReactorTime, here: Callable[[Path], bool], patience: float) -> None:
    until = reactor.seconds() + patience
    while pids := _working(here):
        for pid in pids if reactor.seconds() > until else []:
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        await deferLater(reactor, _LOOK_EVERY)


async def end_leftover(
    reactor: IReactorTime, record: Path, number: signal.Signals, patience: float
) -> None:
    """End the process that *record* names if it still lives, and forget the record.

    It is left from a run that was killed: told to end when its parent died, it may still be at it.
    """
    try:
        wanted = record.read_text()
    except FileNotFoundError:
        return
    if wanted:
        await _end(reactor, wanted, number, patience)
    record.unlink()


async def _end(reactor: IReactorTime, wanted: str, number: signal.Signals, patience: float) -> None:
    pid = int(wanted.split()[0])
    until = reactor.seconds() + patience
    with suppress(ProcessLookupError):
        if identity(pid) == wanted:
            kill(pid, number)
        while identity(pid) == wanted:
            await deferLater(reactor, _LOOK_EVERY)
            if reactor.seconds() > until:
                kill(pid, signal.SIGKILL)
