"""A leader whose place in the ledger was taken by the late first word of an earlier life."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from line_support import Line, order

from rtb.broker import BrokerClient, Outgoing, shared
from rtb.model.wire import Report, encode


@pytest_twisted.ensureDeferred
async def test_it_begins_anew(line: Line, vhost: Any) -> None:
    for role in ("rtb-api", "rtb-leader", "rtb-agent"):
        line.start(role)
    await line.until_led()
    client = BrokerClient(line.reactor, vhost, name="test", random=lambda: 0.5, topology=shared())
    client.startService()
    await client.when_ready()
    late = Report(
        ledger="", box="outbox", leader="a" * 24, number=1, capacity=50, queued=0,
        utilization=0.0, slots=0, busy=0, workloads=[], units=[],
    )  # fmt: skip
    # As one that waited in a silent link while somebody else took the lock.
    await client.publish(
        Outgoing("status.queued", encode(late), message_id="late", persistent=True, mandatory=True)
    )
    await client.stopService()
    await line.until(
        lambda _: (
            line.sql("SELECT leader <> repeat('a', 24) FROM boxes") == [(True,)]
            and line.sql("SELECT count(*) >= 3 FROM incarnations") == [(True,)]
        )
    )
    await line.client.place(order(50))
    await line.client.go()
    await line.until_settled(50)
    await line.end()
    line.check()
