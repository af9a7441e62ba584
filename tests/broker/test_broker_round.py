"""Publishing: every message ends as confirmed, or with the reason why not."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

from rtb import failpoint
from rtb.broker import BrokerUnavailable, Queue, Returned, Unsendable, box
from rtb.settings import Broker
from tests.broker.support import Connect, Sessions, message, read


async def outcomes(published: list[Deferred[None]]) -> list[object]:
    """Return what became of each: None, or the type of what went wrong."""
    results = await DeferredList(published, consumeErrors=True)
    return [None if good else result.type for good, result in results]


@pytest_twisted.ensureDeferred
async def test_a_message_goes_round(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    session = await Sessions(client).next()
    await client.when_ready()
    await session.declare(*box("outbox"))
    reader = await read(session, "outbox")
    await client.publish(message("out.outbox", 7, persistent=True, headers={"x-a": "b"}))
    (delivery,) = await reader.take(1)
    assert (delivery.body, delivery.routing_key, delivery.message_id) == (b"7", "out.outbox", "7:1")
    assert (delivery.redelivered, delivery.headers) == (False, {"x-a": "b"})
    delivery.ack()
    await reader.consumer.cancel()
    assert [str(link) for link in client.status()] == ["publishing: Ready", "consuming: Ready"]


@pytest_twisted.ensureDeferred
async def test_a_message_is_lost_where_a_failpoint_says_so(
    connect: Connect, vhost: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failpoint, "loses", lambda key, body: (key, body) == ("out.outbox", b"7"))
    client = connect(vhost)
    session = await Sessions(client).next()
    await client.when_ready()
    await session.declare(*box("outbox"))
    reader = await read(session, "outbox")
    for number in (7, 8):
        await client.publish(message("out.outbox", number))
    (delivery,) = await reader.take(1)
    assert delivery.body == b"8"


@pytest_twisted.ensureDeferred
async def test_t1_nothing_is_published_before_confirm_mode_was_granted(
    connect: Connect, vhost: Broker, reactor: Any
) -> None:
    client = connect(vhost)
    early = [client.publish(message("barrier", number)) for number in range(3)]
    published: list[Deferred[None]] = []
    while client.status()[0].state != "Ready":
        # At every turn of the reactor during the handshake.
        early.append(client.publish(message("barrier")))
        await deferLater(reactor, 0)
    for number in range(100):
        published.append(client.publish(message("barrier", number * 2)))
        published.append(client.publish(message("nowhere", number * 2 + 1)))
    assert set(await outcomes(early)) == {BrokerUnavailable}
    assert await outcomes(published) == [None, Returned] * 100


@pytest_twisted.ensureDeferred
async def test_t2_a_return_fails_its_own_message_and_no_other(
    connect: Connect, vhost: Broker
) -> None:
    client = connect(vhost)
    await client.when_ready()
    # All kinds of neighbours in what the broker acks at once.
    lost = [number % 7 in (0, 1, 4) or 1000 < number < 1100 for number in range(6000)]
    published = [
        client.publish(message("nowhere" if is_lost else "barrier", number, persistent=number % 2))
        for number, is_lost in enumerate(lost)
    ]
    assert await outcomes(published) == [Returned if is_lost else None for is_lost in lost]


@pytest_twisted.ensureDeferred
async def test_only_so_many_are_under_way(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost, unconfirmed=3, unconfirmed_bytes=10)
    session = await Sessions(client).next()
    await client.when_ready()
    published = [client.publish(message("barrier", number)) for number in range(500)]
    assert await outcomes(published) == [None] * 500
    reader = await read(session, "inbox", prefetch=1000)
    assert [int(each.body) for each in await reader.take(500)] == list(range(500))


@pytest_twisted.ensureDeferred
async def test_what_amqp_cannot_carry_fails_alone(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    await client.when_ready()
    published = [
        client.publish(message("barrier", 1)),
        client.publish(message("x" * 256, 2)),
        client.publish(message("barrier", 3, message_id="ü" * 128)),
        client.publish_surely(message("x" * 256, 4)),
        client.publish(message("barrier", 5)),
    ]
    assert await outcomes(published) == [None, Unsendable, Unsendable, Unsendable, None]


@pytest_twisted.ensureDeferred
async def test_publish_surely_goes_on_until_somebody_listens(
    connect: Connect, vhost: Broker
) -> None:
    client = connect(vhost)
    sent = client.publish_surely(message("out.late", 9))
    session = await Sessions(client).next()
    await client.when_ready()
    with pytest.raises(Returned, match=r"out\.late: NO_ROUTE"):
        await client.publish(message("out.late", 1))
    assert not sent.called
    await session.declare(*box("late"))
    await sent
    reader = await read(session, "late")
    assert [each.body for each in await reader.take(1)] == [b"9"]


@pytest_twisted.ensureDeferred
async def test_stop_ends_what_publish_surely_waits_for(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    offline = client.publish_surely(message("barrier"))
    await client.when_ready()
    await offline
    returned = client.publish_surely(message("nowhere"))
    with pytest.raises(Returned):
        await client.publish(message("nowhere", 2))
    await client.stopService()
    later = client.publish_surely(message("barrier"))
    once = client.publish(message("barrier"))
    assert await outcomes([returned, later, once]) == [BrokerUnavailable] * 3


@pytest_twisted.ensureDeferred
async def test_stop_waits_for_the_confirms(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    await client.when_ready()
    published = [client.publish(message("barrier", n, persistent=True)) for n in range(2000)]
    await client.stopService()
    assert [each.called for each in published] == [True] * 2000
    assert await outcomes(published) == [None] * 2000


@pytest_twisted.ensureDeferred
async def test_a_message_is_buried_with_the_reason(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    session = await Sessions(client).next()
    await client.when_ready()
    reader = await read(session, "inbox")
    await client.publish(message("barrier", 5))
    (bad,) = await reader.take(1)
    await client.bury(bad, "not JSON " + "x" * 200_000, "test")
    (dead,) = await (await read(session, "dead")).take(1)
    assert (dead.body, dead.message_id) == (b"5", "5:1")
    assert (dead.headers["x-rtb-who"], dead.headers["x-rtb-key"]) == ("test", "barrier")
    assert str(dead.headers["x-rtb-reason"]).startswith("not JSON xxx")
    # It is gone from where it was.
    session.close()
    session = await Sessions(client).next()
    await client.publish(message("barrier", 6))
    assert [each.body for each in await (await read(session, "inbox")).take(1)] == [b"6"]


@pytest_twisted.ensureDeferred
async def test_the_channel_that_publishes_comes_back(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    await client.when_ready()
    # Nobody declares this exchange: the broker closes the channel for it.
    published = [
        client.publish(message("barrier", 1, exchange="no-such")),
        client.publish(message("barrier", 2)),
    ]
    surely = client.publish_surely(message("barrier", 3))
    assert await outcomes(published) == [BrokerUnavailable] * 2
    await surely
    assert client.status()[0].ready


@pytest_twisted.ensureDeferred
async def test_a_big_message_goes_round(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    session = await Sessions(client).next()
    await client.when_ready()
    await session.declare(Queue("big", exclusive=True))
    reader = await read(session, "big")
    body = bytes(range(256)) * 4000
    await client.publish(attrs.evolve(message("big", exchange=""), body=body))
    assert (await reader.take(1))[0].body == body
