from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from pytest_twisted import blockon
from web_support import RecordingDesk, Web

from rtb.api.web.site import make_site
from rtb.settings import Settings


@pytest.fixture
def make_web(reactor: Any) -> Iterator[Any]:
    ports: list[Any] = []

    def make(**environ: str) -> Web:
        desk = RecordingDesk()
        settings = Settings.load({}, environ)
        site = make_site(desk, desk.ready, settings, reactor, Random(1))
        ports.append(reactor.listenTCP(0, site, interface="127.0.0.1"))
        return Web(reactor, desk, ports[-1].getHost().port)

    yield make
    for port in ports:
        blockon(port.stopListening())


@pytest.fixture
def web(make_web: Any) -> Web:
    made: Web = make_web()
    return made
