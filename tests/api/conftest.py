from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from live_support import LedgerDesk, LiveWeb, StillDepths
from pytest_twisted import blockon
from twisted.internet.defer import Deferred, maybeDeferred
from web_support import NoMetrics, RecordingDesk, StillLife, Web

from rtb.api.live.bell import Bell
from rtb.api.live.service import Live
from rtb.api.metrics import ApiMetrics, Tally
from rtb.api.web.site import make_site
from rtb.ledger import Books, PageReads, Reads
from rtb.ledger.migrations import migrate
from rtb.ops.metrics import make_registry
from rtb.settings import Database, Settings


@pytest.fixture
def make_web(reactor: Any) -> Iterator[Any]:
    ports: list[Any] = []

    def make(**environ: str) -> Web:
        desk = RecordingDesk()
        settings = Settings.load({}, environ)
        site = make_site(desk, StillLife(), desk.ready, NoMetrics(), settings, reactor, Random(1))
        ports.append(reactor.listenTCP(0, site, interface="127.0.0.1"))
        return Web(reactor, desk, ports[-1].getHost().port)

    yield make
    for port in ports:
        blockon(port.stopListening())


@pytest.fixture
def live_web(reactor: Any, database: Database) -> Iterator[LiveWeb]:
    blockon(Deferred.fromCoroutine(migrate(reactor, database)))
    bell, parts = Bell(), dict.fromkeys(("ledger", "broker", "inbox"), "ready")
    page_reads = PageReads(reactor, database)
    depths = StillDepths()
    live = Live(reactor, page_reads, lambda: dict(parts), bell, depths, epoch=1.0, mark="test")
    books, reads = Books(reactor, database, key=1, random=lambda: 0.5), Reads(reactor, database)
    desk = LedgerDesk(reads)
    settings = Settings.load({}, {})
    metrics = ApiMetrics(page_reads, Tally(), live.feed, depths, reactor.seconds, 1.6)
    metrics.registry = make_registry(object(), metrics)
    site = make_site(desk, live.feed, desk.ready, metrics, settings, reactor, Random(1))
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    live.startService()
    web = Web(reactor, desk, port.getHost().port)
    yield LiveWeb(web, live, bell, books, reads, parts, metrics, depths)
    blockon(maybeDeferred(port.stopListening))
    blockon(live.stopService())
    books.close()
    reads.close()


@pytest.fixture
def web(make_web: Any) -> Web:
    made: Web = make_web()
    return made
