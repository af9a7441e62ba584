"""What groups of processes use: CPU time and memory, from /proc alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import attrs

from rtb.sandbox.proc import descendants

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20
_GONE = (FileNotFoundError, ProcessLookupError)


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except _GONE:
        return []


def cpu(pids: Iterable[int], *, with_ended: bool = True) -> float:
    """Return the CPU seconds of *pids*; *with_ended*, those of their ended children as well."""
    upto = 15 if with_ended else 13
    return sum(sum(map(int, _fields(pid)[11:upto])) for pid in pids) / _TICK


def busy() -> float:
    """Return the CPU seconds that the whole machine has used since it started."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _idle, _waiting, *interrupts = map(int, file.readline().split()[1:9])
    return (user + nice + system + sum(interrupts)) / _TICK


def _resident(pids: Iterable[int]) -> float:
    pages = 0
    for pid in pids:
        with suppress(*_GONE):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * _PAGE / _MB


def _proportional(pids: Iterable[int]) -> float:
    kilobytes = 0
    for pid in pids:
        with suppress(*_GONE):
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return kilobytes / 1024


@attrs.frozen(kw_only=True)
class Used:
    """What was used between :meth:`Meter.begin` and :meth:`Meter.end`."""

    #: CPU seconds by group.
    cpu: Mapping[str, float]
    #: The most that a group had in RAM, in MB; what its processes share is counted in each.
    rss: Mapping[str, float]
    #: What a group had in RAM at the end, in MB; what processes share is counted once.
    pss: Mapping[str, float]
    #: Cores that neither the groups nor the bench itself used.
    foreign: float


class Meter:
    """Watches groups of processes, each by the processes at its top.

    :param watch: the database server's processes that serve the bench itself, not to be counted
    """

    def __init__(self, tops: Mapping[str, Sequence[int]], server: str, watch: Sequence[int]):
        self._tops = tops
        self._server = server
        self._watch = watch
        self._rss = dict.fromkeys(tops, 0.0)

    def begin(self, now: float) -> None:
        """Begin to count, at the time *now*."""
        self._began = now
        self._first = self._read()
        self._first_busy, self._first_own = busy(), cpu([os.getpid()])
        self.look()

    def look(self) -> None:
        """Note how much memory everybody has now."""
        for name, pids in self._all().items():
            self._rss[name] = max(self._rss[name], _resident(pids))

    def end(self, now: float) -> Used:
        """Return what has been used until *now*."""
        last, whole = self._read(), busy() - self._first_busy
        self.look()
        own = cpu([os.getpid()]) - self._first_own + last["watch"] - self._first["watch"]
        used = {name: last[name] - self._first[name] for name in self._tops}
        return Used(
            cpu=used,
            rss=self._rss,
            pss={name: _proportional(pids) for name, pids in self._all().items()},
            foreign=max(0.0, (whole - own - sum(used.values())) / (now - self._began)),
        )

    def _all(self) -> dict[str, list[int]]:
        return {
            name: [pid for top in tops for pid in descendants(top)]
            for name, tops in self._tops.items()
        }

    def _read(self) -> dict[str, float]:
        read = {name: cpu(pids) for name, pids in self._all().items()}
        read["watch"] = cpu(self._watch, with_ended=False)
        if self._server in read:
            read[self._server] -= read["watch"]
        return read
