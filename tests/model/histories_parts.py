"""What the model of the pipeline is made of: sizes, a queue of the broker, a row of the ledger."""

from __future__ import annotations

import collections
from typing import Any

UNITS, BOUND, SLOTS, FAULTY, END = 20, 4, 2, 500, 2600
BOXES = {"a": 2, "b": 1}  # leaders by box: one of a's stands by
OPEN = ("sent", "queued", "processing")
RANK = {"claimed": 0, "queued": 1, "processing": 2}
EPOCH = 24


class BrokenError(Exception):
    """An invariant does not hold."""


class Queue:
    """Durable: what a dead consumer had not acked comes again, and is flagged."""

    def __init__(self) -> None:
        self.ready: list[list[Any]] = []
        self.unacked: dict[Any, list[list[Any]]] = collections.defaultdict(list)

    def put(self, body: Any) -> None:
        self.ready.append([body, False])

    def get(self, consumer: Any) -> list[Any] | None:
        if not self.ready:
            return None
        message = self.ready.pop(0)
        self.unacked[consumer].append(message)
        return message

    def ack(self, consumer: Any, message: Any) -> None:
        kept = self.unacked[consumer]
        self.unacked[consumer] = [other for other in kept if other is not message]

    def drop(self, consumer: Any) -> None:
        for message in reversed(self.unacked.pop(consumer, [])):
            message[1] = True
            self.ready.insert(0, message)


class Row:
    def __init__(self) -> None:
        self.status, self.active, self.attempt = "waiting", None, 0
        self.box, self.holder, self.seen, self.started = "", None, 0, 0
        self.outcomes = 0
