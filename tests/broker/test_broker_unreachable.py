"""No broker there, or not a good one: words that say what to do, and a stop that is quick."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from rtb.broker import BrokerClient, BrokerUnavailable, connection
from rtb.sandbox.directory import free_port
from rtb.settings import Broker
from tests.broker.support import Connect, message

Listen = Callable[[type[Protocol]], Broker]


@pytest.fixture
def listen(reactor: Any) -> Iterator[Listen]:
    """Listen at a free port with a protocol that is no RabbitMQ."""
    ports: list[Any] = []

    def start(protocol: type[Protocol]) -> Broker:
        port = reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
        ports.append(port)
        return Broker(host="127.0.0.1", port=port.getHost().port)

    yield start
    for port in ports:
        blockon(port.stopListening())


@pytest.fixture
def warnings_() -> Iterator[DeferredQueue[str]]:
    """The warnings that are logged."""
    warned: DeferredQueue[str] = DeferredQueue()

    def observe(event: LogEvent) -> None:
        if event["log_level"] is LogLevel.warn:
            warned.put(event["problem"])

    globalLogPublisher.addObserver(observe)
    yield warned
    globalLogPublisher.removeObserver(observe)


def states(client: BrokerClient) -> set[str]:
    return {link.state for link in client.status()}


class Silent(Protocol):
    """Accepts and says nothing."""


class Curt(Protocol):
    """Hangs up at the first word."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_a_name_that_is_unknown(
    connect: Connect, warnings_: DeferredQueue[str], reactor: Any
) -> None:
    client = connect(Broker(host="rabbit.invalid"))
    words = "rabbit.invalid unknown: set RTB_BROKER_HOST, for example localhost:5672"
    assert await warnings_.get() == words
    while not client.status()[0].problem:
        await deferLater(reactor, 0)
    with pytest.raises(BrokerUnavailable, match="RTB_BROKER_HOST"):
        await client.publish(message("barrier"))


@pytest_twisted.ensureDeferred
async def test_a_port_where_nothing_listens_is_said_once(
    connect: Connect, warnings_: DeferredQueue[str], reactor: Any
) -> None:
    port = free_port()
    client = connect(Broker(host="localhost", port=port))
    assert (await warnings_.get()).startswith(f"nothing listens at localhost:{port}: start Rabbit")
    await deferLater(reactor, 0.5)  # some more tries, of both connections
    assert warnings_.pending == []
    assert "nothing listens" in str(client.status()[0])


@pytest_twisted.ensureDeferred
async def test_a_wrong_password(
    connect: Connect, vhost: Broker, warnings_: DeferredQueue[str], reactor: Any
) -> None:
    client = connect(attrs.evolve(vhost, password="not-it"))
    words = await warnings_.get()
    assert "wrong user or password; set them in RTB_AMQP_URL" in words
    assert "not-it" not in words
    while not client.status()[0].problem:  # the other connection may have been first
        await deferLater(reactor, 0)
    with pytest.raises(BrokerUnavailable, match="wrong user or password"):
        await client.publish(message("barrier"))


@pytest_twisted.ensureDeferred
async def test_a_vhost_that_is_not_there(
    connect: Connect, vhost: Broker, warnings_: DeferredQueue[str]
) -> None:
    connect(attrs.evolve(vhost, vhost="no-such"))
    assert "refuses vhost no-such to user" in await warnings_.get()


@pytest_twisted.ensureDeferred
async def test_a_port_that_hangs_up(
    connect: Connect, listen: Listen, warnings_: DeferredQueue[str]
) -> None:
    connect(listen(Curt))
    assert "before AMQP began: is it RabbitMQ's port?" in await warnings_.get()


@pytest.mark.parametrize(
    "banner",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"AMQP\x01\x01\x00\x0a", b"\xff" * 99],
    ids=["ssh", "version", "noise"],
)
@pytest_twisted.ensureDeferred
async def test_a_port_that_speaks_something_else(
    connect: Connect,
    listen: Listen,
    banner: bytes,
    monkeypatch: pytest.MonkeyPatch,
    warnings_: DeferredQueue[str],
) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_DEADLINE", 0.3)

    class Other(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(banner)

    connect(listen(Other))
    assert "is it RabbitMQ's port" in await warnings_.get()


@pytest_twisted.ensureDeferred
async def test_tls_to_a_port_without(
    connect: Connect, vhost: Broker, warnings_: DeferredQueue[str]
) -> None:
    connect(attrs.evolve(vhost, tls=True))
    assert "fails" in await warnings_.get()


@pytest_twisted.ensureDeferred
async def test_a_port_that_never_answers_is_left_and_tried_again(
    connect: Connect,
    listen: Listen,
    warnings_: DeferredQueue[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_DEADLINE", 0.2)
    made: DeferredQueue[Protocol] = DeferredQueue()

    class Counted(Silent):
        def connectionMade(self) -> None:
            made.put(self)

    connect(listen(Counted))
    assert "does not finish the AMQP handshake in 0.2 s" in await warnings_.get()
    for _ in range(4):  # two connections, twice each
        await made.get()


@pytest_twisted.ensureDeferred
async def test_stop_during_the_handshake(connect: Connect, listen: Listen, reactor: Any) -> None:
    gone: DeferredQueue[None] = DeferredQueue()

    class Watched(Silent):
        def connectionLost(self, reason: Any = None) -> None:
            gone.put(None)

    client = connect(listen(Watched))
    while states(client) != {"Handshaking"}:
        await deferLater(reactor, 0)
    ready = client.when_ready()
    await client.stopService()
    assert states(client) == {"Stopped"}
    await gone.get()
    await gone.get()
    with pytest.raises(BrokerUnavailable, match="this process stops"):
        await ready


@pytest_twisted.ensureDeferred
async def test_stop_at_any_moment_and_twice(connect: Connect, vhost: Broker, reactor: Any) -> None:
    for turns in range(40):
        client = connect(vhost)
        for _ in range(turns):
            await deferLater(reactor, 0)
        first, second = client.stopService(), client.stopService()
        await first
        await second
        await client.stopService()
        assert states(client) == {"Stopped"}


@pytest_twisted.ensureDeferred
async def test_stop_while_connecting(connect: Connect) -> None:
    client = connect(Broker(host="rabbit.invalid"))
    assert states(client) == {"Connecting"}
    await client.stopService()
    assert states(client) == {"Stopped"}


@pytest_twisted.ensureDeferred
async def test_stop_while_waiting(connect: Connect, reactor: Any) -> None:
    client = connect(Broker(host="127.0.0.1", port=free_port()))
    surely: Deferred[None] = client.publish_surely(message("barrier"))
    while states(client) != {"Waiting"}:
        await deferLater(reactor, 0)
    await client.stopService()
    assert states(client) == {"Stopped"}
    with pytest.raises(BrokerUnavailable):
        await surely


@pytest_twisted.ensureDeferred
async def test_a_client_that_never_started_stops(reactor: Any) -> None:
    client = BrokerClient(reactor, Broker(), name="test", random=lambda: 0.5, topology=())
    await client.stopService()
    assert states(client) == {"Stopped"}
