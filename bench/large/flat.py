"""Does anything take longer while very much waits?"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from large.books import Driven

_LOOKS = 200
_ORDERS = 20
_ORDER = 5_000
_BATCH = 50
_BATCHES = 40


async def books(*sides: Driven) -> list[dict[str, float]]:
    """Return what a claim of 50 and a flush of 50 take on each side, in milliseconds.

    The sides take turns, so that whatever else the machine does meets both.
    """
    for turn in range(10 + _BATCHES):
        if turn == 10:
            for side in sides:
                side.taken()
        for side in sides:
            await side.batch(_BATCH)
    return [side.taken() for side in sides]


class _Life(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class Api:
    """An API in a process of its own."""

    def __init__(self, reactor: Any, directory: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._life = _Life()
        twistd = str(Path(sys.executable).with_name("twistd"))
        named = {key: text for key, text in os.environ.items() if not key.startswith("RTB_")}
        with (directory / f"api-{port}.log").open("wb") as log:
            self._process = reactor.spawnProcess(
                self._life,
                twistd,
                [twistd, "-n", "--pidfile=", "rtb-api"],
                env={**named, **environment, "RTB_API_HOST": f"127.0.0.1:{port}"},
                path=str(directory),
                childFDs={0: "w", 1: log.fileno(), 2: log.fileno()},
            )

    def memory(self) -> float:
        """Return the most memory that it had in RAM, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        kilobytes = next(row.split()[1] for row in status.splitlines() if row.startswith("VmHWM"))
        return round(int(kilobytes) / 1024, 1)

    async def end(self) -> None:
        """End it, and wait."""
        if self._process.pid is not None:
            self._process.signalProcess("TERM")
        await self._life.ended


def ask(*sides: Api) -> list[dict[str, float]]:
    """Ask each side the same, in turns; return how it fares."""
    found: list[dict[str, float]] = [{} for _ in sides]
    for side in sides:
        _until_ready(side.url)
    order = json.dumps(
        {"account": "new", "units": [f"scene-{number}" for number in range(_ORDER)]}
    ).encode()
    asked = {
        "summary_ms": (_LOOKS, "/", None),
        "next_ms": (_LOOKS, "/next", None),
        "order_ms": (_ORDERS, "/orders", order),
    }
    for name, (times, path, body) in asked.items():
        took: list[list[float]] = [[] for _ in sides]
        for _ in range(times):
            for side, times_taken in zip(sides, took, strict=True):
                began = time.perf_counter()
                _get(f"{side.url}{path}", body)
                times_taken.append((time.perf_counter() - began) * 1000)
        for figures, times_taken in zip(found, took, strict=True):
            figures[name] = round(median(times_taken), 2)
    for figures, side in zip(found, sides, strict=True):
        figures["intake_units_s"] = round(_ORDER / figures.pop("order_ms") * 1000)
        figures["api_mb"] = side.memory()
    return found


def _until_ready(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            _get(f"{url}/readyz")
        except (URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the API was not ready within a minute")


def _get(url: str, body: bytes | None = None) -> bytes:
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=30) as answer:
        data: bytes = answer.read()
    return data


#: Whose figures are to be flat, and in which direction they get worse.
FLAT = {
    "claim_ms": 1, "apply_ms": 1, "summary_ms": 1, "next_ms": 1, "intake_units_s": -1,
    "api_mb": 1,
}  # fmt: skip


def worst(few: dict[str, float], many: dict[str, float]) -> dict[str, float]:
    """Return how many times worse each figure is with *many*."""
    return {
        name: round((many[name] / few[name]) ** direction, 3) for name, direction in FLAT.items()
    }
