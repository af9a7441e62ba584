"""A TCP proxy that misbehaves on request: silent, slow, half-closed, cut.

Every role reaches each server through one of its own, so that a fault is between two and not
between all.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

__all__ = ["Proxy"]

_TICK = 0.1


class _Mode(Enum):
    OPEN = auto()
    #: What comes is kept, and forwarded when the proxy is mended.
    SILENT = auto()
    #: What comes from the server is kept.
    MUTE = auto()
    #: Some bytes at each tick.
    SLOW = auto()


class _End(Protocol):
    """One side of a link."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.other: _End | None = None
        self.kept = bytearray()
        self._over = False

    def dataReceived(self, data: bytes) -> None:
        self.kept += data
        self._proxy.flush(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        self._proxy.forget(self)
        if self.other is not None and not self.other._over:
            self.other.cut()

    def forward(self, most: int | None) -> None:
        """Pass on what is kept, *most* bytes of it."""
        other = self.other
        if other is None or other._over or other.transport is None or not self.kept:
            return
        piece = bytes(self.kept[:most])
        del self.kept[: len(piece)]
        other.transport.write(piece)

    def cut(self) -> None:
        """Reset the connection."""
        if self.transport is not None and not self._over:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def half_close(self) -> None:
        """Say that nothing more comes from here, and go on listening."""
        if self.transport is not None and not self._over:
            self.transport.loseWriteConnection()  # type: ignore[attr-defined]


class _Near(_End):
    """The side of the role: brings the other side with it."""

    def connectionMade(self) -> None:
        far = _End(self._proxy)
        self.other, far.other = far, self
        self._proxy.link(self, far)


class Proxy:
    """Forwards from a port of its own to *host*:*port*."""

    def __init__(self, reactor: Any, host: str, port: int) -> None:
        self._reactor = reactor
        self._target = TCP4ClientEndpoint(reactor, host, port, timeout=5)
        self._mode = _Mode.OPEN
        self._rate = 0
        self._ends: set[_End] = set()
        self._listening: Any = None
        self._clock = LoopingCall(self._tick)
        self._clock.clock = reactor
        self.port = 0

    async def start(self) -> None:
        """Listen."""
        factory = Factory.forProtocol(lambda: _Near(self))
        factory.noisy = False
        endpoint = TCP4ServerEndpoint(self._reactor, 0, interface="127.0.0.1")
        listening: Any = await endpoint.listen(factory)
        self._listening = listening
        self.port = listening.getHost().port

    async def stop(self) -> None:
        """Cut all, and listen no more."""
        if self._clock.running:
            self._clock.stop()
        if self._listening is not None:
            await self._listening.stopListening()
        self.drop()

    # ---- faults

    def silence(self) -> None:
        """Pass nothing on, in neither direction, and let nobody know."""
        self._mode = _Mode.SILENT

    def mute(self) -> None:
        """Pass on what roles say, and nothing that comes back: confirms are lost."""
        self._mode = _Mode.MUTE

    def slow(self, rate: int) -> None:
        """Pass *rate* bytes a second on, per connection and direction."""
        self._mode, self._rate = _Mode.SLOW, rate
        if not self._clock.running:
            self._clock.start(_TICK, now=False)

    def mend(self) -> None:
        """Work as a proxy should."""
        self._mode = _Mode.OPEN
        if self._clock.running:
            self._clock.stop()
        for end in list(self._ends):
            end.forward(None)

    def drop(self) -> None:
        """Reset every connection."""
        for end in list(self._ends):
            end.cut()

    def half_close(self) -> None:
        """Tell the role on every connection that nothing more comes."""
        for end in list(self._ends):
            if isinstance(end, _Near):
                end.half_close()

    # ---- for the ends

    def link(self, near: _End, far: _End) -> None:
        """Connect *far* to the server, for *near*."""
        self._ends |= {near}
        factory = Factory.forProtocol(lambda: far)
        factory.noisy = False
        connecting: Deferred[Any] = self._target.connect(factory)

        def connected(_: object) -> None:
            self._ends |= {far}
            if near not in self._ends:
                far.cut()
            self.flush(near)

        connecting.addCallbacks(connected, lambda _: near.cut())

    def flush(self, end: _End) -> None:
        """Pass on what *end* keeps, unless there is a fault."""
        near = isinstance(end, _Near)
        if self._mode is _Mode.OPEN or (self._mode is _Mode.MUTE and near):
            end.forward(None)

    def forget(self, end: _End) -> None:
        """*end* is closed."""
        self._ends -= {end}

    def _tick(self) -> None:
        for end in list(self._ends):
            end.forward(max(1, int(self._rate * _TICK)))
