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
        publisher: Publisher,
        insistence: Insistence,
        topology: Topology,
        changed: Callable[[], None],
    ) -> None:
        self._publisher = publisher
        self._insistence = insistence
        self._topology = topology
        self.changed = changed

    def prepare(self, protocol: AmqpProtocol) -> Deferred[None]:
        """Declare the topology and enter confirm mode."""
        return Deferred.fromCoroutine(self._publisher.prepare(protocol, self._topology))

    def ready(self, protocol: AmqpProtocol) -> None:
        """Publish what waits."""
        self._publisher.ready()
        self._insistence.ready()

    def drained(self) -> Deferred[None]:
        """Fire when every message under way is confirmed or not."""
        return self._publisher.drained()

    def lost(self, problem: str) -> None:
        """Tell those who publish meanwhile why it fails."""
        self._publisher.unavailable(problem)


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
        return Deferred.fromCoroutine(self._prepare(protocol))

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

    async def _prepare(self, protocol: AmqpProtocol) -> None:
        channel = await Channel.open(self._reactor, protocol, lambda problem: None)
        await channel.declare(*self._topology)
        channel.close()

    def _begin(self, began: Began, session: Session) -> None:
        maybeDeferred(began, session).addErrback(self._not_begun, session)

    def _not_begun(self, why: Failure, session: Session) -> None:
        if session.is_over and why.check(BrokerUnavailable):
            return
        if why.check(BrokerError) is None:
            _log.failure("a role could not begin a session with the broker", failure=why)
        session.close(f"a role could not begin its session: {why.getErrorMessage()}")
