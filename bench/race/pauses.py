"""Units that take a second and use nothing."""

from __future__ import annotations

import time
from typing import Any

from rtb.workload import Unit

SECONDS = 1.0


def plain(unit: Unit) -> None:
    """Sleep, in a child process of the agent's."""
    time.sleep(SECONDS)


async def reactive(unit: Unit) -> None:
    """Wait, on the agent's reactor."""
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    clock: Any = reactor
    await deferLater(clock, SECONDS)
