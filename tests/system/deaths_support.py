"""How long after an agent's death its units wait again, as somebody with SQL sees it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from random import Random
from signal import SIGKILL

from line_support import Line, order
from twisted.internet.task import deferLater

__all__ = ["deaths", "spread"]

_LOST = "SELECT count(*) FROM history WHERE kind = 'lost'"


async def deaths(
    line: Line, agents: Callable[[], Iterable[int]], *, count: int, each: int, all_busy: int
) -> list[float]:
    """Kill *count* agents, one after the other; return the seconds from each kill.

    Each runs *each* units, which do not end; they are *all_busy* when all agents are there.
    """
    random, took = Random(8), []
    await line.client.place(order(2 * all_busy))
    for _ in range(count):
        await line.until(lambda summary: summary.units.processing == all_busy)
        # One that is lost three times would be settled.
        line.sql("UPDATE units SET losses = 0 WHERE losses > 0")
        ((before,),) = line.sql(_LOST)
        victim = random.choice(sorted(agents()))
        began = time.monotonic()
        os.kill(victim, SIGKILL)
        while line.sql(_LOST)[0][0] < before + each:
            assert time.monotonic() < began + 60, line.logs()
            await deferLater(line.reactor, 0.01)
        took.append(time.monotonic() - began)
    assert line.sql("SELECT DISTINCT kind::text FROM history ORDER BY 1") == [
        ("claimed",), ("lost",), ("processing",), ("queued",),
    ]  # fmt: skip
    return sorted(took)


def spread(took: list[float]) -> str:
    """Return the figures in one line."""
    return (
        f"{len(took)} kills: p50 {took[len(took) // 2]:.2f} s, "
        f"p95 {took[int(0.95 * len(took)) - 1]:.2f} s, most {took[-1]:.2f} s"
    )
