"""Celery's client. It has no way to publish many at once; one producer is kept for all."""

from __future__ import annotations

from celery_app import app, unit
from client import serve

# Makes the result tables, so that the worker's children do not race for it.
app.backend.ResultSession().close()
producer = app.amqp.Producer(app.connection_for_write())


def place_many(count: int) -> None:
    """Send *count* tasks."""
    for number in range(count):
        unit.apply_async((number,), producer=producer)


def place_one() -> str:
    """Send a task, and return its id."""
    return str(unit.apply_async((0,), producer=producer).id)


serve(place_many, place_one, "SELECT status = 'SUCCESS' FROM celery_taskmeta WHERE task_id = %s")
