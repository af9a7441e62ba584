"""Dramatiq's client: the rows in one statement, then a message for each."""

from __future__ import annotations

from client import Rows, serve
from dramatiq_app import unit

rows = Rows()


def place_many(count: int) -> None:
    """Send *count* messages."""
    for number in rows.add(count):
        unit.send(number)


def place_one() -> int:
    """Send a message, and return its row's id."""
    (number,) = rows.add(1)
    unit.send(number)
    return number


serve(place_many, place_one, "SELECT status = 'success' FROM units WHERE id = %s")
