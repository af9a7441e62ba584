"""A line of roles for each test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from line_support import Line
from pytest_twisted import blockon
from twisted.internet.defer import Deferred

from rtb.settings import Broker, Database


@pytest.fixture
def line(reactor: Any, database: Database, vhost: Broker, tmp_path: Path) -> Iterator[Line]:
    line = Line(reactor, database, vhost, tmp_path)
    yield line
    blockon(Deferred.fromCoroutine(_clean(line)))


async def _clean(line: Line) -> None:
    for role in line.roles:
        if role.transport.pid is not None:
            role.signal(SIGKILL)
            if not role.life.ended.called:
                await role.life.ended
    await line.client.close()
