"""Dramatiq with publisher confirms; a middleware keeps each unit's status in a row."""

from __future__ import annotations

import os
import threading
from typing import Any

import dramatiq
from client import connect
from dramatiq.brokers.rabbitmq import RabbitmqBroker


class Status(dramatiq.Middleware):
    """Notes in PostgreSQL when a unit starts and how it ends."""

    def __init__(self) -> None:
        self._local = threading.local()

    def _note(self, message: Any, status: str) -> None:
        if not hasattr(self._local, "cursor"):
            self._local.cursor = connect().cursor()
        self._local.cursor.execute(
            "UPDATE units SET status = %s, changed = now() WHERE id = %s",
            (status, message.args[0]),
        )

    def before_process_message(self, broker: Any, message: Any) -> None:
        """It starts."""
        self._note(message, "processing")

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        """It has ended."""
        self._note(message, "success" if exception is None else "error")


broker = RabbitmqBroker(url=os.environ["BENCH_AMQP"], confirm_delivery=True)
broker.add_middleware(Status())
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name="bench")
def unit(number: int) -> None:
    """Do nothing."""
