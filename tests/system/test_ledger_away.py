"""An API whose sessions with the broker begin while the ledger is away."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from line_support import Line, order
from twisted.internet.task import deferLater

from rtb.chaos.proxy import Proxy
from rtb.client import ClientError


@pytest_twisted.ensureDeferred
async def test_it_keeps_its_session_and_says_what_is_missing(
    line: Line, database: Any, vhost: Any
) -> None:
    """Window 27: the ledger frozen or cut off; each link of the API goes through its own proxy."""
    reactor = line.reactor
    ledger = Proxy(reactor, database.host, database.port)
    broker = Proxy(reactor, vhost.host, vhost.port)
    await ledger.start()
    await broker.start()
    urls = {
        "DATABASE_URL": line.environment["RTB_DATABASE_URL"].replace(
            f":{database.port}/", f":{ledger.port}/"
        ),
        "AMQP_URL": line.environment["RTB_AMQP_URL"].replace(f":{vhost.port}/", f":{broker.port}/"),
    }
    api = line.start("rtb-api", **urls)
    line.start("rtb-leader")
    line.start("rtb-agent")
    await line.until_led()
    ledger.silence()
    ledger.drop()
    for _ in range(4):
        broker.drop()
        await deferLater(reactor, 0.5, lambda: None)
    assert "could not begin" not in api.log.read_text()
    with pytest.raises(ClientError) as refused:
        await line.client._ask("GET", "/readyz")
    assert refused.value.status == 503
    ledger.mend()
    await line.client.place(order(20))
    await line.client.go()
    await line.until_settled(20)
    await line.end()
    line.check()
    await ledger.stop()
    await broker.stop()
