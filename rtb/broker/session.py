"""One life of the connection that consumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from rtb.broker.channel import Channel
from rtb.broker.consumer import Consumer
from rtb.broker.errors import BrokerError, Refused
from rtb.broker.messages import Delivery
from rtb.broker.protocol import AmqpProtocol
from rtb.broker.topology import Binding, Queue

__all__ = ["Session"]


class Session:
    """The time between two losses of the consuming connection.

    Exclusive queues, exclusive consumers and unacked deliveries live exactly as long.

    :ivar number: counts the sessions of this process, from 1
    :param leave: called with the words to end the connection in order
    :param redelivered: counts, by queue, what comes a second time
    """

    def __init__(
        self,
        reactor: Any,
        protocol: AmqpProtocol,
        number: int,
        leave: Callable[[str], None],
        redelivered: Counter[str],
    ) -> None:
        self.number = number
        self._redelivered = redelivered
        self._reactor = reactor
        self._protocol = protocol
        self._leave = leave
        #: those who wait for the end; None after it
        self._waiting: list[Deferred[None]] | None = []

    @property
    def is_over(self) -> bool:
        """Has it ended?"""
        return self._waiting is None

    def declare(self, *things: Queue | Binding) -> Deferred[None]:
        """Make queues and bindings exist.

        :raises TopologyMismatch: (errback) one exists with other properties
        :raises Refused: (errback) one is exclusive to another connection
        :raises BrokerUnavailable: (errback) the session ended, or the broker does not answer
        """
        return Deferred.fromCoroutine(self._declare(*things))

    def delete(self, queue: str) -> Deferred[None]:
        """Delete *queue* with all that is in it; it need not exist."""
        return Deferred.fromCoroutine(self._delete(queue))

    def depths(self, queues: Iterable[str]) -> Deferred[dict[str, int]]:
        """Return how many messages wait in each of *queues*; one that does not exist is left out.

        What a consumer has and did not ack is not counted: that is bounded by its prefetch.

        :raises BrokerUnavailable: (errback) the session ended, or the broker does not answer
        """
        return Deferred.fromCoroutine(self._depths(queues))

    def consume(
        self,
        queue: str,
        received: Callable[[Delivery], None],
        *,
        prefetch: int,
        exclusive: bool = False,
    ) -> Deferred[Consumer]:
        """Have *received* called with every message of *queue*.

        :param prefetch: as many may be unacked at a time
        :param exclusive: be its only consumer
        :raises Refused: (errback) it has an exclusive consumer, or has one while *exclusive* is
            asked for, or does not exist; the session lives on
        :raises BrokerUnavailable: (errback) the session ended, or the broker does not answer
        """
        return Deferred.fromCoroutine(self._consume(queue, received, prefetch, exclusive))

    def when_lost(self) -> Deferred[None]:
        """Fire at the end of this session; never fails."""
        if self._waiting is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def close(self, why: str = "a role asked for a new session") -> None:
        """End this session; the client connects again and a new one begins."""
        if not self.is_over:
            self._leave(why)

    def ended(self) -> None:
        """Tell those who wait that the session is over (called by the client)."""
        waiting, self._waiting = self._waiting or [], None
        for waiter in waiting:
            waiter.callback(None)

    async def _declare(self, *things: Queue | Binding) -> None:
        # A channel for each call: a refusal closes it, and nothing else.
        channel = await Channel.open(self._reactor, self._protocol, _ignore)
        await channel.declare(*things)
        channel.close()

    async def _delete(self, queue: str) -> None:
        channel = await Channel.open(self._reactor, self._protocol, _ignore)
        await channel.call(f"to delete queue {queue}", channel.inner.queue_delete, queue=queue)
        channel.close()

    async def _depths(self, queues: Iterable[str]) -> dict[str, int]:
        depths: dict[str, int] = {}
        channel = None
        for queue in queues:
            if channel is None:
                channel = await Channel.open(self._reactor, self._protocol, _ignore)
            try:
                depths[queue] = await channel.depth(queue)
            except Refused:
                channel = None  # there is none of that name, and that closed the channel
        if channel is not None:
            channel.close()
        return depths

    async def _consume(
        self, queue: str, received: Callable[[Delivery], None], prefetch: int, exclusive: bool
    ) -> Consumer:
        consumer = Consumer(queue, received, self.close, self._redelivered)
        channel = await Channel.open(self._reactor, self._protocol, consumer.ended)
        await consumer.begin(channel, prefetch, exclusive)
        return consumer


def _ignore(problem: BrokerError) -> None:
    """Do nothing: whoever called has the problem as the answer."""
