"""A consumer: messages come by a plain callback and stay the broker's until they are acked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from pika.channel import Channel as PikaChannel
from pika.spec import BasicProperties
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker.channel import Channel
from rtb.broker.errors import BrokerError, BrokerUnavailable
from rtb.broker.messages import Delivery
from rtb.broker.topology import label
from rtb.model.wire import LARGEST_BYTES

__all__ = ["Consumer"]

_log = Logger()


class Consumer:
    """A consumer of one queue, on a channel of its own.

    :param received: called with each message
    :param close: called with the words when the session must end
    :param redelivered: counts, by queue, the messages that somebody may have seen before
    """

    def __init__(
        self,
        queue: str,
        received: Callable[[Delivery], None],
        close: Callable[[str], None],
        redelivered: Counter[str],
    ) -> None:
        self.queue = queue
        self._redelivered = redelivered
        redelivered[label(queue)] += 0
        self._received = received
        self._close = close
        self._channel: Channel | None = None
        self._tag = ""

    async def begin(self, channel: Channel, prefetch: int, exclusive: bool) -> None:
        """Begin to consume over *channel*, which is this consumer's alone.

        Unless alone, a limit would be shared; a limit for a whole channel (``global``) is
        deprecated.
        """
        inner = channel.inner
        # The next session declares it anew.
        inner.add_on_cancel_callback(lambda _: self._close(f"queue {self.queue} was deleted"))
        await channel.call("for a prefetch", inner.basic_qos, prefetch_count=prefetch)
        # Set first: the first message may be in the same read as the answer.
        self._channel = channel
        answer = await channel.call(
            f"for the messages of queue {self.queue}",
            inner.basic_consume,
            queue=self.queue,
            exclusive=exclusive,
            on_message_callback=self._deliver,
        )
        self._tag = answer.method.consumer_tag

    def cancel(self) -> Deferred[None]:
        """Take no more messages.

        What is on its way may still come until the Deferred fires. Acks stay possible; what is
        unacked goes to the next consumer at the end of the session.
        """
        if self._channel is None or not self._channel.is_open:
            return succeed(None)
        cancelled: Deferred[None] = self._channel.cancel(self._tag)
        return cancelled.addCallbacks(lambda _: None, _already_over)

    def ack(self, tag: int, *, multiple: bool) -> None:
        """Acknowledge a delivery (see :meth:`Delivery.ack`)."""
        channel = self._channel
        if channel is not None and channel.is_open:
            channel.inner.basic_ack(tag, multiple)
        else:
            _log.debug("ack for {queue} after its session", queue=self.queue)

    def ended(self, problem: BrokerError) -> None:
        """Note that the channel has ended."""
        begun, self._channel = self._channel is not None and self._tag, None
        if begun and not isinstance(problem, BrokerUnavailable):
            # The broker closed this channel alone, for example since a delivery stayed unacked
            # for longer than its consumer timeout: what was delivered is given to others.
            self._close(f"consuming {self.queue} ended: {problem}")

    def _deliver(
        self, channel: PikaChannel, method: Any, properties: BasicProperties, body: bytes
    ) -> None:
        delivery = Delivery(
            method.routing_key,
            # Nobody reads more, and what waits to be buried must not fill the memory.
            body[: LARGEST_BYTES + 1],
            method.redelivered,
            properties.message_id or "",
            properties.headers or {},
            self,
            method.delivery_tag,
        )
        if method.redelivered:
            self._redelivered[label(self.queue)] += 1
        try:
            self._received(delivery)
        except Exception:
            # An exception must not reach pika: it would take the connection down without a word
            # of which queue it was.
            _log.failure("a message of {queue} could not be taken", queue=self.queue)
            self._close(f"a message of {self.queue} could not be taken")


def _already_over(why: Failure) -> None:
    # The session ended first, and the consumer with it.
    why.trap(BrokerError)
