"""How much of a core the live feed takes while many watch it.

    python bench/viewers.py PORT PID [VIEWERS] [SECONDS]

PORT and PID are those of a running API with little to do, for example of
`rtb dev --hold --count 0`. It is looked at twice: while nothing changes, and while an order is
placed twice a second. Prints a line of JSON for each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.request
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_SETTLE = 12.0


class Viewers:
    """Everybody who watches."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.frames = 0

    async def watch(self) -> None:
        """Watch as one of them, for ever."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await writer.drain()
        while data := await reader.read(65536):
            self.frames += data.count(b"event: snapshot")

    async def change(self) -> None:
        """Place an order twice a second, for ever."""
        while True:
            await asyncio.to_thread(self._place)
            await asyncio.sleep(0.45)

    def _place(self) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/orders",
            data=json.dumps({"account": "bench", "units": ["unit"]}).encode(),
            headers={"content-type": "application/json"},
        )
        urllib.request.urlopen(request).read()


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def _look(viewers: Viewers, pid: int, count: int, seconds: float, what: str) -> None:
    viewers.frames = 0
    used, began = _used(pid), time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    said = {
        "what": what,
        "viewers": count,
        "cpu_percent": round(100 * (_used(pid) - used) / took, 1),
        "frames_per_second_each": round(viewers.frames / took / count, 2),
    }
    print(json.dumps(said), flush=True)


async def main(port: int, pid: int, count: int = 1000, seconds: float = 20.0) -> None:
    """Measure."""
    viewers = Viewers(port)
    watching = [asyncio.create_task(viewers.watch()) for _ in range(count)]
    await asyncio.sleep(_SETTLE)
    await _look(viewers, pid, count, seconds, "nothing changes")
    watching.append(asyncio.create_task(viewers.change()))
    await asyncio.sleep(2)
    await _look(viewers, pid, count, seconds, "an order twice a second")
    for task in watching:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
