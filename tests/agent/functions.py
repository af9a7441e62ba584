"""Functions that the tests of Python workloads run."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from typing import Any

from rtb.workload import Permanent, Unit

NO_FUNCTION = 1


def echo(unit: Unit) -> Any:
    return [unit.id, unit.name, unit.order, unit.attempt, unit.payload]


def pid(unit: Unit) -> int:
    return os.getpid()


def environment(unit: Unit) -> dict[str, str]:
    return dict(os.environ)


def permanent(unit: Unit) -> None:
    print("looking")
    raise Permanent("no such scene")


def fails(unit: Unit) -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)
    os.write(1, b"to fd 1\n")
    subprocess.run(["echo", "from a process"], check=True)
    raise ValueError(f"bad \0 {unit.payload} \ud800\nsecond line")


def prints(unit: Unit) -> str:
    print("kept from the next one")
    return "printed"


def floods(unit: Unit) -> None:
    for _ in range(2000):
        os.write(1, b"x" * 10_000 + b"\n")
    raise ValueError("flooded")


def exits(unit: Unit) -> None:
    sys.exit(3)


def vanishes(unit: Unit) -> None:
    print("going", flush=True)
    os._exit(7)


def crashes(unit: Unit) -> None:
    ctypes.string_at(0)


async def _coroutine() -> None: ...


def returns(unit: Unit) -> Any:
    return {
        "nan": {"a": float("nan")},
        "object": object(),
        "nul": "a\0b",
        "surrogate": "\ud800",
        "long": "x" * 70_000,
        "deep": functools.reduce(lambda inner, _: [inner], range(500), 1),
        "coroutine": _coroutine(),
    }[unit.payload]


def works(unit: Unit) -> None:
    print(os.getpid(), flush=True)
    while True:
        pass


def sleeps(unit: Unit) -> str:
    time.sleep(unit.payload)
    return "slept"


def stubborn(unit: Unit) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ignoring", flush=True)
    time.sleep(60)


def breaks_protocol(unit: Unit) -> None:
    os.write(4, b"\xff" * 100)
    time.sleep(60)


def closes_everything(unit: Unit) -> str:
    for fd in (0, 1, 2, 3, 4):
        os.close(fd)
    return "closed"
