"""What the tests of workloads share."""

from __future__ import annotations

import os
import random
import select
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from pytest_twisted import blockon
from twisted.internet.defer import gatherResults

from rtb.agent.workloads import Workload, make_workload
from rtb.model import wire


def _unit(payload: Any = None, *, limit: float | None = None, **others: Any) -> wire.Unit:
    fields = {
        "unit": 17,
        "attempt": 2,
        "account": "ada",
        "weight": 1.0,
        "priority": 0,
        "workload": "w",
        "limit": limit,
        "order": 3,
        "name": "seventeen",
        "payload": msgspec.Raw(msgspec.json.encode(payload)),
    }
    return wire.Unit(**fields | others)


@pytest.fixture
def unit() -> Callable[..., wire.Unit]:
    """Makes a unit."""
    return _unit


@pytest.fixture
def workload(reactor: Any) -> Iterator[Callable[..., Workload]]:
    """Makes a workload, which is closed after the test."""
    made: list[Workload] = []

    def make(spec: str, **options: Any) -> Workload:
        options = {"slots": 4, "random": random.Random(1)} | options
        made.append(make_workload(reactor, spec, **options))
        return made[-1]

    yield make
    blockon(gatherResults([one.close() for one in made]))


def _ended(pid: int, seconds: float = 10.0) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


@pytest.fixture
def ended() -> Callable[..., bool]:
    """Waits for the end of the process with an id; says whether it came."""
    return _ended
