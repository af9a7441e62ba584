"""Bad messages of which one alone could do harm: the line goes on, and says what they were."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from line_support import Line, order
from twisted.internet.threads import deferToThreadPool

from rtb.chaos.outsider import Outsider
from rtb.chaos.rubbish import late
from rtb.settings import Broker, Database

ensure = pytest_twisted.ensureDeferred


async def _in_thread(line: Line, work: Any, *arguments: Any) -> Any:
    reactor = line.reactor
    return await deferToThreadPool(reactor, reactor.getThreadPool(), work, *arguments)


@ensure
async def test_a_barrier_of_a_future_epoch_changes_nothing(
    line: Line, database: Database, vhost: Broker
) -> None:
    for role in ("rtb-api", "rtb-leader", "rtb-agent"):
        line.start(role)
    await line.until_led()
    outsider = Outsider(database, vhost)
    await line.client.place(order(20))
    ((before,),) = line.sql("SELECT epoch FROM epochs")
    barriers = [
        bad
        for bad in late(outsider.ledger_id(), "outbox", 1, 1)
        if bad.kind == "a barrier of the future"
    ]
    assert barriers
    await _in_thread(line, outsider.publish, barriers)
    # They are in the inbox, in front of all that is said of these units.
    await line.client.go()
    await line.until_settled(20)
    await line.until(lambda _: line.sql("SELECT epoch FROM epochs")[0][0] > before)
    ((after,),) = line.sql("SELECT epoch FROM epochs")
    assert after < before + 1000, "epochs go on one by one"
    assert line.sql("SELECT count(*) FROM gate WHERE restored_at IS NULL") == [(1,)]
    assert (await line.fetch("GET", "/readyz"))[0] == 200
    assert await _in_thread(line, outsider.depth, ["dead"]) == {"dead": 0}
    await line.end()
    line.check()
