"""What the two connections of a client are for: one publishes, one consumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker.channel import Channel
from rtb.broker.errors import BrokerError, BrokerUnavailable
from rtb.broker.protocol import AmqpProtocol
from rtb.broker.publisher import Publisher
from rtb.broker.session import Session
from rtb.broker.sure import Insistence
from rtb.broker.topology import Topology

__all__ = ["Began", "Consuming", "Publishing"]

#: What a role does when a session begins.
Began = Callable[[Session], Deferred[Any] | Coroutine[Deferred[Any], Any, Any] | None]
_log = Logger()


class Publishing:
    """The use of the connection that publishes."""

    def __init__(
        self,
        reactor: Any,
        publisher: Publisher,
        insistence: Insistence,
        topology: Topology,
        changed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._publisher = publisher
        self._insistence = insistence
        self._topology = topology
        self.changed = changed
        self._protocol: AmqpProtocol | None = None
        self._declaring = False

    def prepare(self, protocol: AmqpProtocol) -> Deferred[None]:
        """Declare the topology and enter confirm mode."""
        return Deferred.fromCoroutine(self._publisher.prepare(protocol, self._topology))

    def ready(self, protocol: AmqpProtocol) -> None:
        """Publish what waits."""
        self._protocol = protocol
        self._publisher.ready()
        self._insistence.ready()

    def drained(self) -> Deferred[None]:
        """Fire when every message under way is confirmed or not."""
        return self._publisher.drained()

    def lost(self, problem: str) -> None:
        """Tell those who publish meanwhile why it fails."""
        self._protocol = None
        self._publisher.unavailable(problem)

    def declare_again(self) -> None:
        """Make everything exist: a queue was deleted, and perhaps nobody consumes it now."""
        if self._protocol is not None and not self._declaring:
            self._declaring = True
            declaring = Deferred.fromCoroutine(
                _declare(self._reactor, self._protocol, self._topology)
            )
            declaring.addErrback(self._not_declared).addBoth(self._declared)

    def _declared(self, _: None) -> None:
        self._declaring = False

    def _not_declared(self, why: Failure) -> None:
        why.trap(BrokerError)
        _log.debug("not declared again: {why}", why=why.getErrorMessage())


class Consuming:
    """The use of the connection that consumes: a session each time it is ready.

    :param leave: called with the words to end the connection in order
    """

    def __init__(
        self,
        reactor: Any,
        topology: Topology,
        leave: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._topology = topology
        self._leave = leave
        self.changed = changed
        self._began: list[Began] = []
        #: the living session
        self.session: Session | None = None
        #: By queue, messages that came again.
        self.redelivered: Counter[str] = Counter()
        self._number = 0

    def add(self, began: Began) -> None:
        """Call *began* with every session from now on, and with the one that lives."""
        self._began.append(began)
        if self.session is not None:
            self._begin(began, self.session)

    def prepare(self, protocol: AmqpProtocol) -> Deferred[None]:
        """Declare the topology."""
        return Deferred.fromCoroutine(_declare(self._reactor, protocol, self._topology))

    def ready(self, protocol: AmqpProtocol) -> None:
        """Begin a session."""
        self._number += 1
        session = Session(self._reactor, protocol, self._number, self._leave, self.redelivered)
        self.session = session
        for began in list(self._began):
            self._begin(began, session)

    def drained(self) -> Deferred[None]:
        """Fire at once: acks are sent as they are given."""
        return succeed(None)

    def lost(self, problem: str) -> None:
        """End the session."""
        session, self.session = self.session, None
        if session is not None:
            session.ended()

    def _begin(self, began: Began, session: Session) -> None:
        maybeDeferred(began, session).addErrback(self._not_begun, session)

    def _not_begun(self, why: Failure, session: Session) -> None:
        if session.is_over and why.check(BrokerUnavailable):
            return
        if why.check(BrokerError) is None:
            _log.failure("a role could not begin a session with the broker", failure=why)
        session.close(f"a role could not begin its session: {why.getErrorMessage()}")


async def _declare(reactor: Any, protocol: AmqpProtocol, topology: Topology) -> None:
    channel = await Channel.open(reactor, protocol, lambda problem: None)
    await channel.declare(*topology)
    channel.close()
