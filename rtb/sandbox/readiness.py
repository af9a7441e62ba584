"""When does a server answer? Ask it in its own protocol, until it does."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from rtb.sandbox.child import Child

__all__ = ["amqp_answers", "postgres_answers", "until_ready", "zookeeper_answers"]

#: A server that is not up by then has a problem that a person must look at.
PATIENCE = 60.0
_LOOK_EVERY = 0.1
_ANSWER_WITHIN = 5.0


class _Question(Protocol):
    """Say something, and keep the first thing that the other side says."""

    def __init__(self, question: bytes) -> None:
        self._question = question
        self.answer: Deferred[bytes] | None = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._question)

    def dataReceived(self, data: bytes) -> None:
        self._answered(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._answered(b"")

    def _answered(self, data: bytes) -> None:
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.callback(data)
            assert self.transport is not None
            self.transport.loseConnection()


async def _ask(reactor: Any, port: int, question: bytes) -> bytes:
    protocol = _Question(question)
    answer = protocol.answer
    assert answer is not None
    try:
        await connectProtocol(HostnameEndpoint(reactor, b"127.0.0.1", port), protocol)
    except ConnectError:
        return b""
    assert protocol.transport is not None
    give_up = reactor.callLater(_ANSWER_WITHIN, protocol.transport.loseConnection)
    try:
        return await answer
    finally:
        if give_up.active():
            give_up.cancel()


async def postgres_answers(reactor: Any, port: int) -> bool:
    """Does PostgreSQL at *port* ask who we are? While it starts or recovers it sends an error."""
    body = struct.pack("!I", 3 << 16) + b"user\0postgres\0database\0postgres\0\0"
    answer = await _ask(reactor, port, struct.pack("!I", len(body) + 4) + body)
    return answer.startswith(b"R")


async def amqp_answers(reactor: Any, port: int) -> bool:
    """Does RabbitMQ at *port* open the conversation with a method frame on channel 0?"""
    return (await _ask(reactor, port, b"AMQP\0\0\x09\x01")).startswith(b"\x01\0\0")


async def zookeeper_answers(reactor: Any, port: int) -> bool:
    """Is ZooKeeper at *port* well, in its own words?"""
    return (await _ask(reactor, port, b"ruok")).startswith(b"imok")


async def until_ready(
    reactor: Any, child: Child, answers: Callable[[], Awaitable[bool]], patience: float = PATIENCE
) -> None:
    """Return when the server *answers*.

    :raises ServerFailedError: it ended, or did not answer in time
    """
    ends: list[str] = []
    child.when_ended().addCallback(ends.append)
    until = reactor.seconds() + patience
    while not await answers():
        if ends:
            raise child.failed(f"did not start: {ends[0]}")
        if reactor.seconds() > until:
            raise child.failed(f"does not answer after {patience:g} s")
        await deferLater(reactor, _LOOK_EVERY)
