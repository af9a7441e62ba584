"""Consuming: sessions, consumers, and how they end."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredQueue

from rtb.broker import (
    BrokerUnavailable,
    Delivery,
    Queue,
    Refused,
    Session,
    TopologyMismatch,
    box,
    private,
    shared,
    track,
)
from rtb.settings import Broker
from tests.broker.support import Connect, Sessions, message, read


@pytest_twisted.ensureDeferred
async def test_an_exclusive_consumer_keeps_others_out_and_costs_them_nothing(
    connect: Connect, vhost: Broker
) -> None:
    first, second = connect(vhost), connect(vhost)
    holder, standby = await Sessions(first).next(), await Sessions(second).next()
    await holder.declare(*box("outbox"))
    await read(holder, track("outbox"), exclusive=True)
    with pytest.raises(Refused, match="exclusive"):
        await read(standby, track("outbox"), exclusive=True)
    with pytest.raises(Refused):
        await read(standby, track("outbox"))
    # The session of the refused one lives on, and gets it when the holder goes.
    assert not standby.is_over
    await first.stopService()
    assert holder.is_over
    await read(standby, track("outbox"), exclusive=True)
    assert standby.number == 1


@pytest_twisted.ensureDeferred
async def test_what_is_not_there_is_refused(connect: Connect, vhost: Broker) -> None:
    session = await Sessions(connect(vhost)).next()
    with pytest.raises(Refused, match="no queue 'no-such'"):
        await read(session, "no-such")
    await session.delete("no-such")
    assert not session.is_over


@pytest_twisted.ensureDeferred
async def test_a_private_queue_is_one_connections(connect: Connect, vhost: Broker) -> None:
    first, second = connect(vhost), connect(vhost)
    owner, other = await Sessions(first).next(), await Sessions(second).next()
    await first.when_ready()
    await owner.declare(*private("work.a", "work.a", "roll.outbox"))
    with pytest.raises(Refused, match="RESOURCE_LOCKED"):
        await other.declare(*private("work.a", "work.a"))
    reader = await read(owner, "work.a")
    await first.publish(message("roll.outbox", 1))
    await first.publish(message("work.a", 2))
    assert [each.body for each in await reader.take(2)] == [b"1", b"2"]


@pytest_twisted.ensureDeferred
async def test_a_queue_of_another_make_is_said_clearly(connect: Connect, vhost: Broker) -> None:
    session = await Sessions(connect(vhost)).next()
    await session.declare(Queue("outbox", arguments={"x-max-length": 3}))
    with pytest.raises(TopologyMismatch, match=r"'outbox'.* delete it in RabbitMQ"):
        await session.declare(*box("outbox"))
    # The same in the topology that every process declares: it waits, and says so.
    other = (*shared(), Queue("outbox", arguments={"x-max-length": 4}))
    client = connect(vhost, topology=other)
    mismatched: Deferred[None] = client.when_ready()
    await session.declare(*private("p"))
    while not all("delete it in RabbitMQ" in link.problem for link in client.status()):
        await session.declare(*private("p"))
    await session.delete("outbox")
    await mismatched


@pytest_twisted.ensureDeferred
async def test_a_session_ends_when_a_queue_that_it_consumes_is_deleted(
    connect: Connect, vhost: Broker
) -> None:
    session = await Sessions(connect(vhost)).next()
    await session.declare(*box("outbox"))
    reader = await read(session, "outbox")
    lost = session.when_lost()
    await session.delete("outbox")
    await lost
    await reader.consumer.cancel()


@pytest_twisted.ensureDeferred
async def test_prefetch_is_a_limit_for_each_consumer(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    session = await Sessions(client).next()
    await client.when_ready()
    for name in ("a", "b"):
        await session.declare(*box(name))
        for number in range(10):
            await client.publish(message(f"out.{name}", number))
    small, big = await read(session, "a", prefetch=3), await read(session, "b", prefetch=5)
    deliveries = await small.take(3)
    await big.take(5)
    # An answer on the same connection: whatever was sent before it has arrived.
    await session.declare(*private("p"))
    assert (len(small.got.pending), len(big.got.pending)) == (0, 0)
    deliveries[2].ack(multiple=True)
    assert [each.body for each in await small.take(3)] == [b"3", b"4", b"5"]


@pytest_twisted.ensureDeferred
async def test_t5_t6_what_is_not_acked_comes_again_and_is_never_dropped(
    connect: Connect, vhost: Broker
) -> None:
    client = connect(vhost)
    keeper = await Sessions(client).next()
    await client.when_ready()
    await keeper.declare(*box("outbox"))
    await client.publish(message("out.outbox", 1))
    await client.publish(message("out.outbox", 2))
    for round_ in range(12):
        # More often than any delivery limit in use.
        reading = connect(vhost)
        session = await Sessions(reading).next()
        (delivery,) = await (await read(session, "outbox", prefetch=1)).take(1)
        assert (delivery.body, delivery.redelivered) == (b"1", round_ > 0)
        await reading.stopService()
    reader = await read(keeper, "outbox")
    assert [each.redelivered for each in await reader.take(2)] == [True, False]


@pytest_twisted.ensureDeferred
async def test_a_role_ends_its_session(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    sessions = Sessions(client)
    session = await sessions.next()
    await client.when_ready()
    await client.publish(message("barrier", 1))
    await client.publish(message("barrier", 2))
    done, late = await (await read(session, "inbox")).take(2)
    lost = session.when_lost()
    done.ack()  # arrives: a session ends in order
    session.close()
    await lost
    await session.when_lost()
    late.ack()  # of a session that is over: nothing happens
    session.close()
    session = await sessions.next()
    assert session.number == 2
    (delivery,) = await (await read(session, "inbox")).take(1)
    assert (delivery.body, delivery.redelivered) == (b"2", True)


def test_t5_t6_no_queue_has_a_delivery_limit_or_leaves_anything_to_the_broker() -> None:
    things = (*shared(), *box("outbox"), *private("work.a", "work.a"))
    arguments = {key for thing in things if isinstance(thing, Queue) for key in thing.arguments}
    assert arguments == {"x-single-active-consumer"}
    assert not any(hasattr(Delivery, name) for name in ("nack", "reject", "requeue"))


@pytest_twisted.ensureDeferred
async def test_what_comes_while_cancelling_is_neither_lost_nor_put_back(
    connect: Connect, vhost: Broker
) -> None:
    client = connect(vhost)
    session = await Sessions(client).next()
    await client.when_ready()
    await session.declare(*box("outbox"))
    for number in range(200):
        await client.publish(message("out.outbox", number))
    got: list[Delivery] = []
    consumer = await session.consume("outbox", got.append, prefetch=200)
    await consumer.cancel()
    got[-1].ack(multiple=True)
    rest: DeferredQueue[Delivery] = DeferredQueue()
    await session.consume("outbox", rest.put, prefetch=200)
    left = [await rest.get() for _ in range(200 - len(got))]
    bodies = [int(each.body) for each in got + left]
    assert bodies == list(range(200))
    assert not any(each.redelivered for each in left)
    await consumer.cancel()


@pytest_twisted.ensureDeferred
async def test_a_callback_that_fails_ends_the_session_and_is_logged(
    connect: Connect, vhost: Broker, errors_fail: Any
) -> None:
    client = connect(vhost)
    sessions = Sessions(client)
    session = await sessions.next()
    await client.when_ready()
    await session.consume("inbox", lambda delivery: 1 // 0, prefetch=1)
    await client.publish(message("barrier"))
    session = await sessions.next()
    assert session.number == 2
    assert len(errors_fail.consume(ZeroDivisionError)) == 1
    (delivery,) = await (await read(session, "inbox")).take(1)
    assert delivery.redelivered


@pytest_twisted.ensureDeferred
async def test_a_beginning_that_fails_is_tried_again(
    connect: Connect, vhost: Broker, errors_fail: Any
) -> None:
    client = connect(vhost)
    began: DeferredQueue[int] = DeferredQueue()

    async def begin(session: Session) -> None:
        began.put(session.number)
        if session.number == 1:
            raise KeyError("a bug")
        if session.number == 2:
            await session.consume("no-such", began.put, prefetch=1)  # type: ignore[arg-type]

    client.on_session(begin)
    assert [await began.get() for _ in range(3)] == [1, 2, 3]
    # A bug with its traceback; what the broker refuses in words alone.
    assert len(errors_fail.consume(KeyError)) == 1


@pytest_twisted.ensureDeferred
async def test_a_dead_session_says_so(connect: Connect, vhost: Broker) -> None:
    client = connect(vhost)
    session = await Sessions(client).next()
    consumer = (await read(session, "inbox")).consumer
    await client.stopService()
    for attempt in (
        session.declare(*box("outbox")),
        session.delete("outbox"),
        session.consume("inbox", print, prefetch=1),
    ):
        with pytest.raises(BrokerUnavailable):
            await attempt
    await consumer.cancel()


@pytest_twisted.ensureDeferred
async def test_how_deep_queues_are_and_what_came_again(connect: Connect, vhost: Broker) -> None:
    first, second = connect(vhost), connect(vhost)
    session, sessions = await Sessions(first).next(), Sessions(second)
    await first.when_ready()
    await session.declare(*box("outbox"))
    for number in (1, 2, 3):
        await first.publish(message("out.outbox", number))
    assert await session.depths(["no-such", "outbox", "inbox"]) == {"outbox": 3, "inbox": 0}
    assert not session.is_over
    other = await sessions.next()
    reader = await read(other, "outbox", prefetch=2)
    await reader.take(2)
    assert second.redelivered == {"outbox": 0}
    await second.stopService()
    again = await read(session, "outbox")
    assert [each.redelivered for each in await again.take(3)] == [True, True, False]
    assert first.redelivered == {"outbox": 2}
