"""Publishing with confirms: every message ends as confirmed or with the reason why not.

The hot path makes one Deferred per message and nothing else: confirms are matched by delivery tag
in plain callbacks, deadlines by one timer for the oldest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from pika import spec
from pika.channel import Channel as PikaChannel
from pika.exceptions import ShortStringTooLong
from pika.spec import BasicProperties
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall

from rtb import failpoint
from rtb.broker.channel import Channel
from rtb.broker.errors import BrokerError, BrokerUnavailable, Nacked, Returned, Unsendable
from rtb.broker.messages import Outgoing
from rtb.broker.protocol import AmqpProtocol
from rtb.broker.topology import Topology

__all__ = ["Publisher"]

_PERSISTENT: Final = 2


class Publisher:
    """The channel that publishes, over all its lives.

    :param drop: called with the words when the connection is of no use any more
    :param confirm_deadline: the seconds within which the broker must confirm
    :param unconfirmed: how many messages may be under way; more wait here
    :param unconfirmed_bytes: the same in bytes: Twisted's transport buffers without limit
    """

    def __init__(
        self,
        reactor: Any,
        drop: Callable[[str], None],
        *,
        confirm_deadline: float,
        unconfirmed: int,
        unconfirmed_bytes: int,
    ) -> None:
        self._reactor = reactor
        self._drop = drop
        self._deadline = confirm_deadline
        self._most = unconfirmed
        self._most_bytes = unconfirmed_bytes
        self._channel: PikaChannel | None = None
        self._prepared: PikaChannel | None = None
        self._why_not = "not connected yet"
        self._refused = ""
        #: by delivery tag: message, its Deferred, when it was sent
        self._pending: dict[int, tuple[Outgoing, Deferred[None], float]] = {}
        self._pending_bytes = 0
        #: every tag below this one is settled
        self._oldest = 1
        self._next = 1
        self._queue: deque[tuple[Outgoing, Deferred[None]]] = deque()
        #: message ids of what came back and is not acked yet, with the reason
        self._returned: dict[str, str] = {}
        self._timer: IDelayedCall | None = None
        self._idle: list[Deferred[None]] = []

    async def prepare(self, protocol: AmqpProtocol, topology: Topology) -> None:
        """Declare *topology* and enter confirm mode on a channel of *protocol*.

        Only when the broker has granted it may the first message leave: one sent before would
        count as tag 1 here and not there, and every later confirm would be taken for its
        neighbour's.
        """
        channel = await Channel.open(self._reactor, protocol, self._ended)
        await channel.declare(*topology)
        await channel.call(
            "to confirm publishes",
            channel.inner.confirm_delivery,
            ack_nack_callback=self._settled,
        )
        channel.inner.add_on_return_callback(self._came_back)
        self._prepared = channel.inner

    def ready(self) -> None:
        """Begin to publish, over the channel prepared last."""
        self._channel = self._prepared

    def unavailable(self, why: str) -> None:
        """Note why there is no connection, for those who ask meanwhile."""
        self._why_not = why

    @property
    def is_ready(self) -> bool:
        """Can something be published?"""
        return self._channel is not None

    @property
    def unconfirmed(self) -> int:
        """How many messages are under way."""
        return len(self._pending)

    def publish(self, message: Outgoing) -> Deferred[None]:
        """Publish *message* once.

        :raises BrokerUnavailable: (errback) not connected, or the connection ended first
        :raises Returned: (errback) mandatory, and no queue takes it
        :raises Nacked: (errback) the broker could not store it
        :raises Unsendable: (errback) the routing key or an id is too long for AMQP
        """
        if self._refused:
            return fail(BrokerUnavailable(self._refused))
        if self._channel is None:
            return fail(BrokerUnavailable(self._why_not))
        if failpoint.loses(message.routing_key, message.body):
            return succeed(None)
        confirmed: Deferred[None] = Deferred()
        if self._queue or self._is_full():
            self._queue.append((message, confirmed))
        else:
            self._send(self._channel, message, confirmed)
        return confirmed

    def refuse(self, why: str) -> None:
        """Take no more messages: what is under way is all there will be."""
        self._refused = why

    def drained(self) -> Deferred[None]:
        """Fire when nothing is under way."""
        if not self._pending and not self._queue:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def _is_full(self) -> bool:
        return len(self._pending) >= self._most or self._pending_bytes >= self._most_bytes

    def _send(self, channel: PikaChannel, message: Outgoing, confirmed: Deferred[None]) -> None:
        properties = BasicProperties(
            content_type="application/json",
            delivery_mode=_PERSISTENT if message.persistent else None,
            message_id=message.message_id,
            headers=dict(message.headers) if message.headers else None,
        )
        try:
            channel.basic_publish(
                message.exchange, message.routing_key, message.body, properties, message.mandatory
            )
        except ShortStringTooLong as problem:
            # pika encodes all before it sends any: the broker has counted nothing.
            confirmed.errback(Unsendable(f"longer than 255 bytes: {str(problem)[:80]}"))
            return
        tag = self._next
        self._next = tag + 1
        self._pending[tag] = (message, confirmed, self._reactor.seconds())
        self._pending_bytes += len(message.body)
        if self._timer is None:
            self._timer = self._reactor.callLater(self._deadline, self._check)

    def _settled(self, frame: Any) -> None:
        method = frame.method
        tag: int = method.delivery_tag
        nacked = isinstance(method, spec.Basic.Nack)
        if method.multiple:
            first, self._oldest = self._oldest, tag + 1
            for each in range(first, tag + 1):
                self._settle(each, nacked)
        else:
            self._settle(tag, nacked)
        self._send_queued()
        if not self._pending and not self._queue:
            self._all_settled()

    def _settle(self, tag: int, nacked: bool) -> None:
        entry = self._pending.pop(tag, None)
        if entry is None:
            return
        message, confirmed, _ = entry
        self._pending_bytes -= len(message.body)
        # A return always comes before the ack of the same message.
        back = self._returned.pop(message.message_id, None) if self._returned else None
        if nacked:
            confirmed.errback(Nacked())
        elif back is not None:
            confirmed.errback(Returned(f"{message.routing_key}: {back}"))
        else:
            confirmed.callback(None)

    def _send_queued(self) -> None:
        channel = self._channel
        while self._queue and channel is not None and not self._is_full():
            self._send(channel, *self._queue.popleft())

    def _came_back(
        self, channel: PikaChannel, method: Any, properties: BasicProperties, body: bytes
    ) -> None:
        self._returned[properties.message_id or ""] = method.reply_text

    def _check(self) -> None:
        self._timer = None
        if not self._pending:
            return
        while self._oldest not in self._pending:
            self._oldest += 1
        sent = self._pending[self._oldest][2]
        left = sent + self._deadline - self._reactor.seconds()
        if left <= 0:
            self._drop(
                f"the broker confirmed nothing for {self._deadline:g} s: is it out of memory or "
                "disk (rabbitmqctl status, alarms)?"
            )
        else:
            self._timer = self._reactor.callLater(left, self._check)

    def _ended(self, problem: BrokerError) -> None:
        self._channel = self._prepared = None
        self._why_not = str(problem)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        unsettled = [entry[1] for entry in self._pending.values()]
        unsettled += [confirmed for _, confirmed in self._queue]
        self._pending, self._pending_bytes, self._oldest, self._next = {}, 0, 1, 1
        self._queue.clear()
        self._returned.clear()
        for confirmed in unsettled:
            confirmed.errback(BrokerUnavailable(str(problem)))
        self._all_settled()
        if not isinstance(problem, BrokerUnavailable):
            # The broker has closed this channel alone, for example since the exchange was deleted.
            self._drop(str(problem))

    def _all_settled(self) -> None:
        idle, self._idle = self._idle, []
        for waiter in idle:
            waiter.callback(None)
