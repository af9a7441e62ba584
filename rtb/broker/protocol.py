"""One AMQP connection: pika's Twisted adapter, with the reasons of its end put right.

This module and :mod:`rtb.broker.channel` are the only ones that reach into pika. They use the
adapter's inner connection and channels with plain callbacks rather than its ``TwistedChannel``:
that one keeps a single slot for returned messages and gives it to the wrong publish when the
broker acks several at once, miscounts confirms when something is published before confirm mode
was granted, and makes a Deferred of every delivery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pika import spec
from pika.adapters.twisted_connection import TwistedProtocolConnection
from pika.channel import Channel as PikaChannel
from pika.connection import Connection
from pika.exceptions import AMQPError
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from rtb.broker.address import Address, explain_close, explain_loss, parameters
from rtb.broker.errors import BrokerUnavailable

__all__ = ["ENDING", "AmqpProtocol"]

#: A broker that got our last bytes ends the connection at once; a frozen one never does (seconds).
_LINGER = 0.5
#: What is said of a connection that ends without a problem.
ENDING = "this connection to the broker is over"

# What pika would print on stderr when nobody configured logging, the connection machine says.
logging.getLogger("pika").addHandler(logging.NullHandler())


class _Lingering:
    """A transport that ends even when its peer reads no more.

    Twisted's ``loseConnection`` first writes out what is buffered. pika uses it also to leave a
    broker that has missed its heartbeats, which is exactly one that reads nothing.
    """

    def __init__(self, reactor: Any, transport: Any) -> None:
        self._reactor = reactor
        self._transport = transport
        self._ending: Any = None
        self.write: Callable[[bytes], None] = transport.write

    def loseConnection(self) -> None:
        if self._ending is None:
            self._ending = self._reactor.callLater(_LINGER, self._transport.abortConnection)
            self._transport.loseConnection()

    def abortConnection(self) -> None:
        self._transport.abortConnection()

    def lost(self) -> None:
        """Forget the deadline: the connection is gone."""
        if self._ending is not None and self._ending.active():
            self._ending.cancel()


class AmqpProtocol(TwistedProtocolConnection):
    """A connection, from the first byte on.

    :ivar opened: fires when the AMQP handshake is done; errbacks BrokerUnavailable
    :ivar problem: why it ended, in words; empty while it lives
    :ivar server: name and version of the broker, once opened
    """

    def __init__(
        self,
        reactor: Any,
        address: Address,
        name: str,
    ) -> None:
        super().__init__(parameters(address, name), custom_reactor=reactor)
        self._reactor = reactor
        self._address = address
        self._lost: Callable[[str], None] = lambda problem: None
        self.opened: Deferred[AmqpProtocol] = Deferred()
        self._ending: _Lingering | None = None
        self.problem = ""
        self.server = ""
        ready = self.ready
        assert isinstance(ready, Deferred)
        ready.addCallbacks(lambda _: self._open(), lambda _: None)
        # pika forgets what the broker said at the end of a connection when the socket is then
        # closed in order, so it is noted here.
        self._connection.callbacks.add(0, spec.Connection.Close, self._closed_by_broker)

    def watch(self, lost: Callable[[str], None], blocked: Callable[[str], None]) -> None:
        """Say what to call.

        :param lost: called once, with the words, when the connection has ended
        :param blocked: called with why when the broker takes no more publishes, and with an
            empty text when it takes them again
        """
        self._lost = lost
        self._connection.add_on_connection_blocked_callback(
            lambda _, frame: blocked(f"the broker takes no messages now: {frame.method.reason}")
        )
        self._connection.add_on_connection_unblocked_callback(lambda _, frame: blocked(""))

    @property
    def _connection(self) -> Connection:
        connection: Connection = self._impl  # type: ignore[attr-defined]
        return connection

    def open_channel(self, opened: Callable[[PikaChannel], object]) -> PikaChannel:
        """Ask for a channel of pika's.

        :raises BrokerUnavailable: the connection is not open
        """
        if not self._connection.is_open:
            raise BrokerUnavailable(self.problem or ENDING)
        return self._connection.channel(on_open_callback=opened)

    def finish(self) -> None:
        """End the connection in order; one that the broker does not answer ends all the same."""
        if self._connection.is_open:
            self._connection.close()
        else:
            self.abort("closed by rtb")

    def abort(self, problem: str) -> None:
        """End the connection now, because of *problem*."""
        self.problem = self.problem or problem
        if self._ending is not None:
            self._ending.abortConnection()

    def makeConnection(self, transport: Any) -> None:
        """Begin to speak AMQP over *transport*."""
        # A confirm or an ack is one small segment: Nagle would hold it back for 40 ms.
        transport.setTcpNoDelay(True)
        self._ending = _Lingering(self._reactor, transport)
        super().makeConnection(self._ending)  # type: ignore[arg-type]

    def dataReceived(self, data: bytes) -> None:
        """Take what the broker sends; what is no AMQP ends the connection."""
        try:
            super().dataReceived(data)
        except AMQPError as problem:
            self.abort(explain_loss(self._address, problem, opened=self.opened.called))

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # type: ignore[override]
        """Say why it ended, to all who wait."""
        assert self._ending is not None
        self._ending.lost()
        if not self.problem:
            # Of pika's own reasons (heartbeats missed, blocked too long) the adapter keeps none
            # when the socket then ends in order.
            own = getattr(self._connection, "_error", None)
            opened = self.opened.called
            self.problem = explain_loss(self._address, own or _cause(reason), opened=opened)
        super().connectionLost(reason)
        if not self.opened.called:
            self.opened.errback(BrokerUnavailable(self.problem))
        self._lost(self.problem)

    def _open(self) -> None:
        properties = self._connection.server_properties or {}
        self.server = " ".join(_text(properties.get(key, "")) for key in ("product", "version"))
        self.opened.callback(self)

    def _closed_by_broker(self, frame: Any) -> None:
        closing = frame.method
        self.problem = explain_close(self._address, closing.reply_code, closing.reply_text)


def _cause(reason: Failure) -> BaseException:
    return reason.value or RuntimeError("unknown")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
