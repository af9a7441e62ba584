"""Bad messages of which one alone could do harm: the line goes on, and says what they were."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pika
import pytest
import pytest_twisted
from line_support import Line, Role, order
from pika.exceptions import ChannelClosedByBroker
from twisted.internet.threads import deferToThreadPool

from rtb.chaos.outsider import Outsider
from rtb.chaos.rubbish import Bad, late
from rtb.model.wire import LARGEST_BYTES
from rtb.settings import Broker, Database

ensure = pytest_twisted.ensureDeferred
#: RabbitMQ 3.10 takes 128 MiB if nobody says less.
_HUGE = 100_000_000


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
    assert await _in_thread(line, outsider.waiting, ["dead"]) == {"dead": []}
    await line.end()
    line.check()


def _most_memory(role: Role) -> int:
    """Return how many bytes *role* ever had in memory."""
    status = Path(f"/proc/{role.transport.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@ensure
async def test_a_message_of_100_MB_is_dead_and_costs_no_memory_for_long(
    line: Line, database: Database, vhost: Broker
) -> None:
    api = line.start("rtb-api")
    leader = line.start("rtb-leader")
    line.start("rtb-agent")
    await line.until_led()
    outsider = Outsider(database, vhost)
    said = b'{"v":1,"ledger":"%s","padding":"' % outsider.ledger_id().encode()
    body = said + b"x" * _HUGE + b'"}'
    before = {role: _most_memory(role) for role in (api, leader)}
    for _ in range(3):
        await _in_thread(line, outsider.publish, [Bad("huge", "status.success", body)])
    await _in_thread(line, outsider.publish, [Bad("huge", "out.outbox", body)])
    await line.client.place(order(20))
    await line.client.go()
    await line.until_settled(20)
    await line.until(lambda _: len(outsider.waiting(["dead"])["dead"]) == 4)
    # While it arrives it is there twice, in pieces and put together; nothing of it stays.
    for role in (api, leader):
        assert _most_memory(role) - before[role] < 3 * _HUGE
    letters = await _in_thread(line, outsider.take_dead)
    assert sorted(key for key, _, _ in letters) == ["out.outbox", *["status.success"] * 3]
    for _, kept, reason in letters:
        assert reason == f"longer than {LARGEST_BYTES} bytes"
        assert body.startswith(kept)
        assert len(kept) <= LARGEST_BYTES + 1
    await line.end()
    line.check()


def test_rabbitmq_refuses_a_message_in_another_users_name(vhost: Broker) -> None:
    place = pika.ConnectionParameters(
        vhost.host, vhost.port, vhost.vhost, pika.PlainCredentials(vhost.user, vhost.password)
    )
    with closing(pika.BlockingConnection(place)) as connection:
        channel = connection.channel()
        channel.queue_declare("inbox")
        channel.confirm_delivery()
        own, another = (pika.BasicProperties(user_id=name) for name in (vhost.user, "somebody"))
        channel.basic_publish("", "inbox", b"mine", own, mandatory=True)
        with pytest.raises(ChannelClosedByBroker, match="PRECONDITION_FAILED") as refused:
            channel.basic_publish("", "inbox", b"not mine", another, mandatory=True)
        assert refused.value.reply_code == 406
        channel = connection.channel()
        bodies = [channel.basic_get("inbox", auto_ack=True)[2] for _ in range(2)]
        assert bodies == [b"mine", None]
