from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from browser_support import CHROMIUM, Browser
from pytest_twisted import blockon
from twisted.internet.defer import Deferred

from rtb.settings import Broker, Database
from tests.system.line_support import Line


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


@pytest.fixture
def browser(reactor: Any) -> Iterator[Browser]:
    if not CHROMIUM.exists() and not os.environ.get("CI"):
        pytest.skip("there is no Chromium: as root, script/bootstrap installs it")
    browser = Browser(reactor)
    blockon(Deferred.fromCoroutine(browser.start()))
    yield browser
    blockon(Deferred.fromCoroutine(browser.stop()))


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Any:
    """Take a picture for the docs, if the pictures are to be taken anew."""
    directory = Path(__file__).parents[2] / "docs" / "screenshots"

    def take(page: Any, name: str) -> None:
        if request.config.getoption("--screenshots"):
            page.screenshot(path=str(directory / f"{name}.png"))

    return take
