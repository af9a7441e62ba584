"""A channel: calls with a deadline, and the broker's refusals as rtb's own exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pika import spec
from pika.channel import Channel as PikaChannel
from pika.exceptions import ChannelClosedByBroker
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from rtb.broker.errors import BrokerError, BrokerUnavailable, Refused, TopologyMismatch
from rtb.broker.protocol import ENDING, AmqpProtocol
from rtb.broker.topology import Binding, Exchange, Thing

__all__ = ["Channel"]

#: How long the broker may take for one answer (seconds). A queue whose storage is damaged is
#: declared for ever.
ANSWER_DEADLINE = 10.0


class Channel:
    """One channel of a connection; made by :meth:`open`.

    :param closed: called once with the reason when the channel has ended
    """

    def __init__(
        self, reactor: Any, protocol: AmqpProtocol, closed: Callable[[BrokerError], None]
    ) -> None:
        self._reactor = reactor
        self._protocol = protocol
        self._closed = closed
        self._waiting: dict[Deferred[Any], IDelayedCall] = {}
        #: pika's channel, for the calls that have no answer
        self.inner: PikaChannel

    @classmethod
    def open(
        cls, reactor: Any, protocol: AmqpProtocol, closed: Callable[[BrokerError], None]
    ) -> Deferred[Channel]:
        """Open a channel on *protocol*.

        :raises BrokerUnavailable: (errback) the connection ended or does not answer
        """
        channel = cls(reactor, protocol, closed)
        opened = channel._wait("to open a channel")
        try:
            channel.inner = protocol.open_channel(opened.callback)
        except BrokerUnavailable as problem:
            opened.errback(problem)
            return opened
        channel.inner.add_on_close_callback(channel._ended)
        return opened.addCallback(lambda _: channel)

    @property
    def is_open(self) -> bool:
        """Can something be sent?"""
        return self.inner.is_open

    def call(self, what: str, method: Callable[..., object], **arguments: object) -> Deferred[Any]:
        """Call a *method* of :attr:`inner` and return its answer.

        :param what: for the words when there is no answer
        """
        answer = self._wait(what)
        if self.inner.is_open:
            method(**arguments, callback=answer.callback)
        else:
            answer.errback(BrokerUnavailable(self._protocol.problem or ENDING))
        return answer

    async def declare(self, *things: Thing) -> None:
        """Make each of *things* exist, or check that it is as it should be.

        :raises TopologyMismatch: it exists otherwise
        :raises Refused: it is another connection's
        """
        for thing in things:
            await self._declare(thing)

    def _declare(self, thing: Thing) -> Deferred[Any]:
        inner = self.inner
        if isinstance(thing, Exchange):
            return self.call(
                f"to declare exchange {thing.name}",
                inner.exchange_declare,
                exchange=thing.name,
                exchange_type=thing.kind,
                durable=True,
            )
        if isinstance(thing, Binding):
            return self.call(
                f"to bind queue {thing.queue}",
                inner.queue_bind,
                queue=thing.queue,
                exchange=thing.exchange,
                routing_key=thing.key,
            )
        return self.call(
            f"to declare queue {thing.name} (if it stays so, its storage is damaged: delete the "
            "queue, it is made again and nothing is lost)",
            inner.queue_declare,
            queue=thing.name,
            durable=not thing.exclusive,
            exclusive=thing.exclusive,
            arguments=dict(thing.arguments),
        )

    async def depth(self, queue: str) -> int:
        """Return how many messages are ready in *queue*.

        :raises Refused: there is none of that name, or it is another connection's
        """
        answer = await self.call(
            f"how deep queue {queue} is", self.inner.queue_declare, queue=queue, passive=True
        )
        return int(answer.method.message_count)

    def cancel(self, tag: str) -> Deferred[Any]:
        """Cancel the consumer *tag*; what the broker has sent before its answer still comes."""
        # pika's own basic_cancel puts every message that arrives meanwhile back into its queue.
        # rtb never does that: the message would come again flagged as seen.
        return self.call(
            "to cancel a consumer",
            lambda callback: self.inner._rpc(  # type: ignore[attr-defined]
                spec.Basic.Cancel(consumer_tag=tag, nowait=False),
                callback,
                [(spec.Basic.CancelOk, {"consumer_tag": tag})],
            ),
        )

    def close(self) -> None:
        """Close the channel, without waiting for it."""
        if self.inner.is_open:
            self.inner.close()

    def _wait(self, what: str) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self._waiting[answer] = self._reactor.callLater(ANSWER_DEADLINE, self._late, what)

        def answered(result: Any) -> Any:
            timer = self._waiting.pop(answer)
            if timer.active():
                timer.cancel()
            return result

        return answer.addBoth(answered)

    def _late(self, what: str) -> None:
        problem = f"the broker was asked {what}, no answer in {ANSWER_DEADLINE:g} s"
        self._protocol.abort(problem)

    def _ended(self, _: PikaChannel, reason: BaseException) -> None:
        problem = self._explain(reason)
        for answer in list(self._waiting):
            answer.errback(problem)
        self._closed(problem)

    def _explain(self, reason: BaseException) -> BrokerError:
        if not isinstance(reason, ChannelClosedByBroker):
            problem: BrokerError = BrokerUnavailable(self._protocol.problem or ENDING)
        elif reason.reply_code == spec.PRECONDITION_FAILED:
            problem = TopologyMismatch(
                f"{reason.reply_text}: something of that name was made otherwise, by another "
                "version or by hand; delete it in RabbitMQ and rtb makes it again"
            )
        else:
            problem = Refused(f"{reason.reply_code} {reason.reply_text}")
        problem.__cause__ = reason
        return problem
