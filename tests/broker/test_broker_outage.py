"""A broker that is killed, restarted, frozen, or out of memory: one of these tests' own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from rtb.broker import BrokerUnavailable, box, channel, private
from rtb.sandbox.directory import DataDirectory
from rtb.sandbox.rabbit import Rabbit
from rtb.settings import Broker, Settings
from tests.broker.support import Connect, Sessions, message, read


@attrs.frozen
class Own:
    """A RabbitMQ that a test may do anything to, as long as it runs again afterwards."""

    rabbit: Rabbit
    reactor: Any

    @property
    def broker(self) -> Broker:
        return Settings.load({}, {"RTB_AMQP_URL": self.rabbit.url}, role="agent").amqp

    async def kill(self) -> None:
        ended = self.rabbit.process.when_ended()
        self.rabbit.process.signal_all(signal.SIGKILL)
        await ended

    async def ctl(self, *arguments: str) -> None:
        environment = {**self.rabbit._environment(), "PATH": os.environ["PATH"]}
        out, err, code = await getProcessOutputAndValue(
            "/usr/lib/rabbitmq/bin/rabbitmqctl", arguments, env=environment, reactor=self.reactor
        )
        assert code == 0, out + err


@pytest.fixture(scope="module")
def own_rabbit(reactor: Any, public_directory: Path) -> Iterator[Own]:
    directory = DataDirectory(public_directory / "own rabbit")
    directory.open()
    rabbit = Rabbit(reactor, directory, durable=False, management=False)
    blockon(Deferred.fromCoroutine(rabbit.start()))
    yield Own(rabbit, reactor)
    blockon(Deferred.fromCoroutine(rabbit.stop()))
    directory.close()


@pytest_twisted.ensureDeferred
async def test_a_killed_broker_comes_back_and_so_does_everything(
    connect: Connect, own_rabbit: Own
) -> None:
    """T8: after ``kill -9`` nothing that somebody may have seen comes as if it were new."""
    client = connect(own_rabbit.broker)
    sessions = Sessions(client)
    session = await sessions.next()
    await client.when_ready()
    await session.declare(*box("outbox"))
    for number in range(40):
        await client.publish(message("out.outbox", number, persistent=True))
    await (await read(session, "outbox", prefetch=20)).take(20)

    lost = session.when_lost()
    await own_rabbit.kill()
    await lost
    with pytest.raises(BrokerUnavailable):
        await client.publish(message("out.outbox", 40))
    surely = [client.publish_surely(message("out.outbox", n, persistent=True)) for n in (41, 42)]
    await own_rabbit.rabbit.start_again()

    session = await sessions.next()
    for each in surely:
        await each
    deliveries = await (await read(session, "outbox")).take(42)
    assert [int(each.body) for each in deliveries] == [*range(40), 41, 42]
    # A classic queue flags even those that nobody saw; new ones it does not.
    assert [each.redelivered for each in deliveries] == [True] * 40 + [False] * 2
    assert session.number == 2
    deliveries[-1].ack(multiple=True)
    await client.when_ready()
    await client.stopService()


@pytest_twisted.ensureDeferred
async def test_t7_a_broker_that_does_not_answer_is_left(
    connect: Connect, own_rabbit: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(own_rabbit.broker)
    session = await Sessions(client).next()
    await client.when_ready()
    lost = session.when_lost()
    monkeypatch.setattr(channel, "ANSWER_DEADLINE", 0.3)
    own_rabbit.rabbit.process.pause()
    try:
        with pytest.raises(BrokerUnavailable, match="was asked to open a channel, no answer"):
            await session.declare(*private("work.a"))
        await lost
    finally:
        own_rabbit.rabbit.process.resume()


@pytest_twisted.ensureDeferred
async def test_a_broker_that_shuts_down_says_so(connect: Connect, own_rabbit: Own) -> None:
    client = connect(own_rabbit.broker)
    sessions = Sessions(client)
    session = await sessions.next()
    await client.when_ready()
    told = Deferred.fromCoroutine(own_rabbit.ctl("stop_app"))
    await session.when_lost()
    assert "shut down" in client.status()[1].problem
    await told
    await own_rabbit.ctl("start_app")
    await sessions.next()
    await client.when_ready()


@pytest_twisted.ensureDeferred
async def test_a_frozen_broker_does_not_hold_up_the_stop(
    connect: Connect, own_rabbit: Own, reactor: Any
) -> None:
    client = connect(own_rabbit.broker)
    await client.when_ready()
    own_rabbit.rabbit.process.pause()
    try:
        # More than the socket's buffers take: Twisted would wait for ever to write it.
        body = b"x" * 4_000_000
        stuck = client.publish(attrs.evolve(message("barrier"), body=body))
        begun = reactor.seconds()
        await client.stopService()
        assert reactor.seconds() - begun < 5
        with pytest.raises(BrokerUnavailable):
            await stuck
    finally:
        own_rabbit.rabbit.process.resume()


@pytest_twisted.ensureDeferred
async def test_t3_t4_an_alarm_stops_publishes_for_a_while_and_acks_never(
    connect: Connect, own_rabbit: Own, reactor: Any
) -> None:
    client = connect(own_rabbit.broker, confirm_deadline=0.5)
    session = await Sessions(client).next()
    await client.when_ready()
    for number in range(10):
        await client.publish(message("barrier", number))
    reader = await read(session, "inbox", prefetch=5)
    deliveries = await reader.take(5)
    await own_rabbit.ctl("set_vm_memory_high_watermark", "0")
    begun = reactor.seconds()
    with pytest.raises(BrokerUnavailable, match=r"confirmed nothing for 0.5 s.*memory"):
        await client.publish(message("barrier", 10))
    assert reactor.seconds() - begun < 2
    surely = client.publish_surely(message("barrier", 11, persistent=True))
    # The session has not noticed: what would end the alarm goes on.
    deliveries[-1].ack(multiple=True)
    assert [int(each.body) for each in await reader.take(5)] == [5, 6, 7, 8, 9]
    assert not session.is_over
    assert not surely.called
    while "takes no messages now" not in client.status()[0].problem:
        await deferLater(reactor, 0.01)
    assert not client.status()[0].ready
    await own_rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    await surely
    await client.when_ready()
