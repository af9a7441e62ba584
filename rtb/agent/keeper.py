"""A small process that outlives a killed agent for a moment and ends what it left running.

It reads "+PGID" and "-PGID" lines: the process groups that run units. At the end of its input the
agent is gone, however it went, and every group still there gets SIGKILL. The kernel's death signal
(``setpriv --pdeathsig``) alone would reach the first process of each group only.

Run as a file, with the standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["keep"]


def keep(lines: Iterable[str]) -> None:
    """Follow *lines*, and end what is there when they end."""
    groups: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    keep(sys.stdin)
