"""What the tests of the broker client often do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredQueue

from rtb.broker import BrokerClient, Consumer, Delivery, Outgoing, Session

Connect = Callable[..., BrokerClient]


def message(key: str, number: int = 1, **options: Any) -> Outgoing:
    """Return a small message."""
    values = {"message_id": f"{number}:1", "persistent": False, "mandatory": True} | options
    return Outgoing(key, b"%d" % number, **values)


@attrs.frozen
class Reader:
    """A consumer and what it got."""

    consumer: Consumer
    got: DeferredQueue[Delivery]

    async def take(self, count: int) -> list[Delivery]:
        """Return the next *count* deliveries."""
        return [await self.got.get() for _ in range(count)]


async def read(session: Session, queue: str, prefetch: int = 100, **options: Any) -> Reader:
    """Consume *queue* in *session*."""
    got: DeferredQueue[Delivery] = DeferredQueue()
    consumer = await session.consume(queue, got.put, prefetch=prefetch, **options)
    return Reader(consumer, got)


class Sessions:
    """The sessions of a client, one after the other."""

    def __init__(self, client: BrokerClient) -> None:
        self._begun: DeferredQueue[Session] = DeferredQueue()
        client.on_session(self._begun.put)

    def next(self) -> Deferred[Session]:
        """Return the next session."""
        return self._begun.get()
