"""Connections to PostgreSQL that are reset, while idle and while a statement is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from rtb.chaos.proxy import Proxy
from rtb.ledger import LedgerUnavailableError
from rtb.ledger.lane import Lane
from rtb.settings import Database

ensure = pytest_twisted.ensureDeferred


@pytest_twisted.async_yield_fixture
async def proxy(reactor: Any, database: Database) -> AsyncIterator[Proxy]:
    proxy = Proxy(reactor, database.host, database.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


def _lane(reactor: Any, database: Database, proxy: Proxy) -> Lane:
    return Lane(
        reactor, attrs.evolve(database, host="127.0.0.1", port=proxy.port), op="test", limit=5.0
    )


@ensure
async def test_cut_while_idle(reactor: Any, database: Database, proxy: Proxy) -> None:
    lane = _lane(reactor, database, proxy)
    for _ in range(5):
        assert await lane.run("SELECT 1") == [(1,)]
        proxy.drop()
        await deferLater(reactor, 0.05, lambda: None)
    lane.close()


@ensure
async def test_cut_under_way_is_no_bad_value(
    reactor: Any, database: Database, proxy: Proxy
) -> None:
    """Taken for one, the event in the statement would be a dead letter."""
    lane = _lane(reactor, database, proxy)
    for _ in range(5):
        assert await lane.run("SELECT 1") == [(1,)]
        running = Deferred.fromCoroutine(lane.run("SELECT pg_sleep(3)"))
        await deferLater(reactor, 0.05, lambda: None)
        proxy.drop()
        with pytest.raises(LedgerUnavailableError):
            await running
    lane.close()
