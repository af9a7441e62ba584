"""Celery as its documentation leads to it: RabbitMQ, and results in PostgreSQL."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_AMQP"], backend="db+" + os.environ["BENCH_DATABASE"])
app.conf.update(
    task_track_started=True,
    task_acks_late=True,
    broker_transport_options={"confirm_publish": True},
)


@app.task(name="unit")
def unit(number: int) -> None:
    """Do nothing."""
