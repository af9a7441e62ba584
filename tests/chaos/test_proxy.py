"""The proxy's faults, on a real connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from rtb.chaos.proxy import Proxy

ensure = pytest_twisted.ensureDeferred


class _Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class _Caller(Protocol):
    def __init__(self) -> None:
        self.heard = b""
        self.over: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)


@pytest_twisted.async_yield_fixture
async def proxy(reactor: Any) -> AsyncIterator[Proxy]:
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    server: Any = await endpoint.listen(Factory.forProtocol(_Echo))
    proxy = Proxy(reactor, "127.0.0.1", server.getHost().port)
    await proxy.start()
    yield proxy
    await proxy.stop()
    await server.stopListening()


async def _call(reactor: Any, proxy: Proxy) -> Any:
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.port)
    return await endpoint.connect(Factory.forProtocol(_Caller))


async def _until(reactor: Any, what: Any) -> None:
    for _ in range(6000):
        if what():
            return
        await deferLater(reactor, 0.01, lambda: None)
    raise AssertionError("never")


@ensure
async def test_silence_keeps_and_mending_forwards(reactor: Any, proxy: Proxy) -> None:
    caller = await _call(reactor, proxy)
    caller.transport.write(b"one")
    await _until(reactor, lambda: caller.heard == b"one")
    proxy.silence()
    caller.transport.write(b"two")
    await deferLater(reactor, 0.2, lambda: None)
    assert caller.heard == b"one"
    proxy.mend()
    await _until(reactor, lambda: caller.heard == b"onetwo")


@ensure
async def test_a_slow_link_is_slow(reactor: Any, proxy: Proxy) -> None:
    caller = await _call(reactor, proxy)
    proxy.slow(1000)
    caller.transport.write(b"x" * 10_000)
    await deferLater(reactor, 0.5, lambda: None)
    assert 0 < len(caller.heard) < 5000
    proxy.mend()
    await _until(reactor, lambda: len(caller.heard) == 10_000)


@ensure
async def test_cut_and_half_closed(reactor: Any, proxy: Proxy) -> None:
    for fault in (proxy.drop, proxy.half_close):
        caller = await _call(reactor, proxy)
        caller.transport.write(b"x")
        await _until(reactor, lambda caller=caller: caller.heard == b"x")
        fault()
        await caller.over
