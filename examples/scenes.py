"""Python workloads: ``python:scenes:brightness`` and ``python:scenes:wait``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rtb.workload import Permanent, Unit


def brightness(unit: Unit) -> dict[str, Any]:
    """Write the mean of the payload's pixels to a file, and return it."""
    pixels = unit.payload.get("pixels")
    if not pixels:
        raise Permanent(f"{unit.name} has no pixels")
    mean = sum(pixels) / len(pixels)
    # Work may run more than once: each attempt writes a file of its own.
    path = Path(tempfile.gettempdir(), f"brightness-{unit.id}.{unit.attempt}.txt")
    path.write_text(f"{mean}\n")
    return {"mean": mean, "path": str(path)}


async def wait(unit: Unit) -> str:
    """Wait, on the agent's reactor: thousands of these cost no process."""
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    seconds = unit.payload.get("seconds", 0.1)
    await deferLater(reactor, seconds)  # type: ignore[arg-type]
    return f"waited {seconds} s"
