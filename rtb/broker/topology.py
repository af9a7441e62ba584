"""Exchanges, queues and bindings as data.

Every queue is durable and classic, or exclusive to one connection: RabbitMQ 4 deprecates transient
queues that are not. None has a delivery limit and none dead-letters by itself: a message is acked
when its work is done, and published to the queue ``dead`` when it cannot be read. A limit would
drop innocent messages after a few crashes of their reader.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = [
    "DEAD",
    "EXCHANGE",
    "INBOX",
    "Binding",
    "Exchange",
    "Queue",
    "Thing",
    "Topology",
    "box",
    "label",
    "private",
    "shared",
    "track",
]

EXCHANGE = "rtb"
INBOX = "inbox"
DEAD = "dead"


@attrs.frozen
class Exchange:
    """A durable exchange."""

    name: str
    kind: str = "topic"


@attrs.frozen
class Queue:
    """A queue: durable, or exclusive to the connection that declares it and gone with it."""

    name: str
    exclusive: bool = False
    arguments: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Binding:
    """Messages with this key go into this queue."""

    queue: str
    key: str
    exchange: str = EXCHANGE


Thing = Exchange | Queue | Binding
#: In the order in which it is declared.
Topology = tuple[Thing, ...]


def shared() -> Topology:
    """Return what every process declares: the exchange, the inbox and the dead letters."""
    return (
        Exchange(EXCHANGE),
        # One consumer at a time, whoever else stands by: events are applied in delivery order.
        Queue(INBOX, arguments={"x-single-active-consumer": True}),
        Binding(INBOX, "status.*"),
        Binding(INBOX, "barrier"),
        Queue(DEAD),
        Binding(DEAD, DEAD),
    )


def track(name: str) -> str:
    """Return the name of the queue by which the agents of box *name* tell their state."""
    return f"{name}.track"


def box(name: str) -> tuple[Queue | Binding, ...]:
    """Return the queues of the box *name*: its units, and the states of its agents."""
    return (
        Queue(name),
        Binding(name, f"out.{name}"),
        Queue(track(name)),
        Binding(track(name), f"track.{name}"),
    )


def label(queue: str) -> str:
    """Return what *queue* is called where there must be few names: without an incarnation."""
    return queue.rpartition(".")[0] if queue.startswith(("work.", "control.")) else queue


def private(name: str, *keys: str) -> tuple[Queue | Binding, ...]:
    """Return the queue *name* of one connection alone, for messages of these *keys*."""
    return (Queue(name, exclusive=True), *(Binding(name, key) for key in keys))
