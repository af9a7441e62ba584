"""The broker client: what the roles of one process share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from rtb.broker.address import Address, where
from rtb.broker.connection import Connection
from rtb.broker.errors import BrokerUnavailable
from rtb.broker.messages import Delivery, Outgoing, dead_letter
from rtb.broker.publisher import Publisher
from rtb.broker.session import Session
from rtb.broker.sure import Insistence
from rtb.broker.topology import Topology
from rtb.broker.uses import Began, Consuming, Publishing

__all__ = ["BrokerClient", "LinkStatus"]

_log = Logger()
_STOPPED = "this process stops"
#: RabbitMQ takes all properties of a message in one frame.


@attrs.frozen
class LinkStatus:
    """One connection, for a log line and for ``/readyz``."""

    name: str
    state: str
    #: What is wrong and what to do; empty when nothing is.
    problem: str

    @property
    def ready(self) -> bool:
        """Does it work?"""
        return self.state == "Ready" and not self.problem

    def __str__(self) -> str:
        return f"{self.name}: {self.state}" + (f" ({self.problem})" if self.problem else "")


class BrokerClient(MultiService):
    """Publishes over one connection and consumes over another, and keeps both up.

    Two, because an alarm in the broker stops a connection that publishes altogether: the acks
    that would end the alarm must not wait behind a publish.

    :param name: of the process, for logs and for the broker's lists of connections
    :param random: for the jitter of the waits; 0 <= value < 1
    :param topology: declared on every connection before anything else
    :param confirm_deadline: seconds within which the broker must confirm a message
    :param unconfirmed: messages that may be under way; more wait in memory
    :param unconfirmed_bytes: the same in bytes
    """

    def __init__(
        self,
        reactor: Any,
        broker: Address,
        *,
        name: str,
        random: Callable[[], float],
        topology: Topology,
        confirm_deadline: float = 10.0,
        unconfirmed: int = 1000,
        unconfirmed_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        super().__init__()
        self._where = f"{where(broker)}, vhost {broker.vhost}, as {broker.user}"
        self._publisher = Publisher(
            reactor,
            lambda problem: self._out.drop(problem),
            confirm_deadline=confirm_deadline,
            unconfirmed=unconfirmed,
            unconfirmed_bytes=unconfirmed_bytes,
        )
        self._insistence = Insistence(
            reactor, self._publisher, random, lambda: publishing.declare_again()
        )
        publishing = Publishing(reactor, self._publisher, self._insistence, topology, self._changed)
        self._consuming = Consuming(
            reactor, topology, lambda problem: self._in.leave(problem), self._changed
        )
        self._out = Connection(reactor, broker, f"{name} publishing", publishing, random)
        self._in = Connection(reactor, broker, f"{name} consuming", self._consuming, random)
        self._waiting: list[Deferred[None]] = []
        #: problems said since everything was well; None before the first connection
        self._said: set[str] | None = None

    def startService(self) -> None:
        """Connect, and stay connected."""
        super().startService()
        self._out.start()
        self._in.start()

    def stopService(self) -> Deferred[None]:
        """Wait for the confirms that are missing, then end both connections; 5 s at most."""
        return Deferred.fromCoroutine(self._stop())

    def publish(self, message: Outgoing) -> Deferred[None]:
        """Publish *message* once; fires when the broker has confirmed it.

        :raises BrokerUnavailable: (errback) not connected, the connection ended, or no confirm
            came in time: whether the broker has it is not known
        :raises Returned: (errback) it is mandatory, and no queue takes it
        :raises Nacked: (errback) the broker could not store it
        :raises Unsendable: (errback) AMQP cannot carry it
        """
        return self._publisher.publish(message)

    def publish_surely(self, message: Outgoing) -> Deferred[None]:
        """Publish *message*, the same again and again under its id, until it is confirmed.

        :raises BrokerUnavailable: (errback) this process stops
        :raises Unsendable: (errback) AMQP cannot carry it
        """
        return self._insistence.publish(message)

    async def _bury(self, delivery: Delivery, reason: str, who: str) -> None:
        await self.publish_surely(
            dead_letter(
                delivery.routing_key, delivery.body, reason, who, message_id=delivery.message_id
            )
        )
        delivery.ack()

    def bury(self, delivery: Delivery, reason: str, who: str) -> Deferred[None]:
        """Move *delivery* to the queue ``dead``: publish it there, then ack it.

        :raises BrokerUnavailable: (errback) this process stops; the message stays where it was
        """
        return Deferred.fromCoroutine(self._bury(delivery, reason, who))

    def on_session(self, began: Began) -> None:
        """Call *began* each time consuming can begin: on every connection, topology declared.

        One that fails is logged and ends that connection; the next one calls it again.
        """
        self._consuming.add(began)

    @property
    def session(self) -> Session | None:
        """The living session; None while there is none."""
        return self._consuming.session

    @property
    def redelivered(self) -> dict[str, int]:
        """By queue, how many messages came that somebody may have seen before."""
        return dict(self._consuming.redelivered)

    def status(self) -> tuple[LinkStatus, LinkStatus]:
        """Return how the two connections are."""
        return (
            LinkStatus("publishing", self._out.state, self._out.problem),
            LinkStatus("consuming", self._in.state, self._in.problem),
        )

    @property
    def unconfirmed(self) -> int:
        """How many messages are published and not yet confirmed."""
        return self._publisher.unconfirmed

    @property
    def can_publish(self) -> bool:
        """Is the publishing connection ready?"""
        return self.status()[0].ready

    def when_ready(self) -> Deferred[None]:
        """Fire when both connections are ready.

        :raises BrokerUnavailable: (errback) this process stops
        """
        if all(link.ready for link in self.status()):
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    async def _stop(self) -> None:
        await MultiService.stopService(self)
        self._publisher.refuse(_STOPPED)
        self._insistence.stop(_STOPPED)
        # One after the other: what a confirm lets somebody ack can still be acked.
        await self._out.stop()
        await self._in.stop()
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(BrokerUnavailable(_STOPPED))

    def _changed(self) -> None:
        status = self.status()
        problems = {link.problem for link in status if link.problem}
        for problem in problems - (self._said or set()):
            _log.warn("broker: {problem}; trying again", problem=problem)
        if all(link.ready for link in status):
            self._all_ready()
        elif problems:
            self._said = (self._said or set()) | problems

    def _all_ready(self) -> None:
        if self._said != set():
            _log.info("connected to the broker at {where}", where=self._where)
        self._said = set()
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)
