"""The processes that run in a private cluster's containers, as the kernel shows them.

YARN's own list is no witness here: on a lost node it names as ended what still runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from rtb.sandbox.proc import identity

__all__ = ["Containers"]


@attrs.frozen
class Containers:
    """What runs below *place*, a cluster's directory: each container works in one of its own."""

    place: Path

    def agents(self) -> list[int]:
        """Return the pids of agents, the oldest first."""
        return [pid for pid, words in self._processes() if b"rtb-agent" in words]

    def masters(self) -> list[int]:
        """Return the pids of ApplicationMasters, the oldest first: the last one is in charge."""
        return [
            pid
            for pid, words in self._processes()
            if words[0].endswith(b"java") and any(b"ServiceMaster" in word for word in words)
        ]

    def logs(self) -> Iterator[Path]:
        """Yield the files with what containers printed."""
        yield from self.place.rglob("container_*/std*.txt")

    def _processes(self) -> list[tuple[int, list[bytes]]]:
        above = self.place.resolve()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if not (entry / "cwd").readlink().is_relative_to(above):
                    continue
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            born = identity(int(entry.name))
            # A shell that runs the command has it as one word of its own.
            if born is not None:
                found.append((int(born.split()[1]), int(entry.name), words))
        return [(pid, words) for _, pid, words in sorted(found)]
