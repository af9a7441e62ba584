"""RabbitMQ: the one package that knows pika."""

from __future__ import annotations

from rtb.broker.client import BrokerClient, LinkStatus
from rtb.broker.consumer import Consumer
from rtb.broker.errors import (
    BrokerError,
    BrokerUnavailable,
    Nacked,
    Refused,
    Returned,
    TopologyMismatch,
    Unsendable,
)
from rtb.broker.messages import Delivery, Outgoing
from rtb.broker.session import Session
from rtb.broker.topology import (
    Binding,
    Exchange,
    Queue,
    Topology,
    box,
    private,
    shared,
    track,
)

__all__ = [
    "Binding",
    "BrokerClient",
    "BrokerError",
    "BrokerUnavailable",
    "Consumer",
    "Delivery",
    "Exchange",
    "LinkStatus",
    "Nacked",
    "Outgoing",
    "Queue",
    "Refused",
    "Returned",
    "Session",
    "Topology",
    "TopologyMismatch",
    "Unsendable",
    "box",
    "private",
    "shared",
    "track",
]
