"""Does anything take longer while very much waits?"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from large.books import Driven

_LOOKS = 200
_ORDERS = 20
_ORDER = 5_000
_BATCH = 50
_BATCHES = 40


async def books(driven: Driven) -> dict[str, float]:
    """Return what a claim of 50 and a flush of 50 take, in milliseconds."""
    for _ in range(10):
        await driven.batch(_BATCH)
    driven.taken()
    for _ in range(_BATCHES):
        await driven.batch(_BATCH)
    return driven.taken()


class _Life(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


async def api(reactor: Any, directory: Path, environment: dict[str, str]) -> dict[str, float]:
    """Start an API on the ledger, ask it, place orders at it, and look at its memory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    life = _Life()
    twistd = str(Path(sys.executable).with_name("twistd"))
    named = {key: text for key, text in os.environ.items() if not key.startswith("RTB_")}
    with (directory / "api.log").open("wb") as log:
        process = reactor.spawnProcess(
            life,
            twistd,
            [twistd, "-n", "--pidfile=", "rtb-api"],
            env={**named, **environment, "RTB_API_HOST": f"127.0.0.1:{port}"},
            path=str(directory),
            childFDs={0: "w", 1: log.fileno(), 2: log.fileno()},
        )
    try:
        return await deferToThread(_ask, f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.signalProcess("TERM")
        await life.ended


def _ask(url: str, pid: int) -> dict[str, float]:
    _until_ready(url)
    found: dict[str, float] = {"api_mb_before": _memory(pid)}
    found["summary_ms"] = _timed(lambda: _get(f"{url}/"))
    found["next_ms"] = _timed(lambda: _get(f"{url}/next"))
    order = json.dumps(
        {"account": "new", "units": [f"scene-{number}" for number in range(_ORDER)]}
    ).encode()
    began = time.perf_counter()
    for _ in range(_ORDERS):
        _get(f"{url}/orders", order)
    found["intake_units_s"] = round(_ORDERS * _ORDER / (time.perf_counter() - began))
    return found | {"api_mb_after": _memory(pid)}


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


def _timed(once: Callable[[], object]) -> float:
    for _ in range(10):
        once()
    times = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
    return round(median(times) * 1000, 2)


def _memory(pid: int) -> float:
    """Return the most memory that the process had in RAM, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(row.split()[1] for row in status.splitlines() if row.startswith("VmHWM"))
    return round(int(kilobytes) / 1024, 1)


#: Whose figures are to be flat, and in which direction they get worse.
FLAT = {
    "claim_ms": 1, "apply_ms": 1, "summary_ms": 1, "next_ms": 1, "intake_units_s": -1,
    "api_mb_after": 1,
}  # fmt: skip


def worst(few: dict[str, float], many: dict[str, float]) -> dict[str, float]:
    """Return how many times worse each figure is with *many*."""
    return {
        name: round((many[name] / few[name]) ** direction, 3) for name, direction in FLAT.items()
    }
