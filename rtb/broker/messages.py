"""A message on its way out, and one that came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from rtb.broker.topology import DEAD, EXCHANGE

__all__ = ["Delivery", "Outgoing", "dead_letter"]

_LONGEST_REASON = 1000


@attrs.frozen
class Outgoing:
    """A message to publish.

    :ivar message_id: names it among those under way; the same message again keeps it
    :ivar mandatory: fail with :class:`~rtb.broker.errors.Returned` when no queue takes it
    """

    routing_key: str
    body: bytes
    message_id: str
    persistent: bool
    mandatory: bool
    exchange: str = EXCHANGE
    headers: Mapping[str, str] = attrs.field(factory=dict)


def dead_letter(
    routing_key: str, body: bytes, reason: str, who: str, *, message_id: str
) -> Outgoing:
    """Return what to publish for a message that came by *routing_key* and is of no use.

    :param reason: why
    :param who: found out
    """
    headers = {
        "x-rtb-reason": reason[:_LONGEST_REASON],
        "x-rtb-who": who,
        "x-rtb-key": routing_key,
    }
    return Outgoing(
        DEAD, body, message_id=message_id, persistent=True, mandatory=True, headers=headers
    )


class _Acks(Protocol):
    def ack(self, tag: int, *, multiple: bool) -> None: ...


@attrs.frozen(eq=False)
class Delivery:
    """A message that came in and stays the broker's until it is acked.

    Of a body that is longer than any message of rtb's, only the beginning is there.

    There is no reject and no requeue: leave it unacked and the broker gives it to the next
    consumer when this session ends, flagged ``redelivered``. The flag is true for every message
    that somebody may have seen; after a crash of the broker also for some that nobody saw.
    """

    routing_key: str
    body: bytes
    redelivered: bool
    message_id: str
    headers: Mapping[str, object]
    _consumer: _Acks
    _tag: int

    def ack(self, multiple: bool = False) -> None:
        """Tell the broker that this message is done; with *multiple*, all before it as well.

        After the end of its session this does nothing: the message comes again.
        """
        self._consumer.ack(self._tag, multiple=multiple)
