"""What the client of every Python system does on its standard input and output.

It says ``ready``; then ``many N`` places N units at once and answers how long that took, and
``one K`` places K units one after the other and answers for each how long it took until another
connection read its outcome.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg2

PAUSE = 0.02
LOOK_EVERY = 0.001
LIMIT = 60.0


def connect() -> Any:
    """Return a connection to the system's database that commits each statement."""
    connection = psycopg2.connect(os.environ["BENCH_DATABASE"])
    connection.autocommit = True
    return connection


class Rows:
    """The rows that somebody keeps whose queue does not keep them."""

    def __init__(self) -> None:
        self._cursor = connect().cursor()
        self._cursor.execute(
            "CREATE TABLE units (id bigint PRIMARY KEY, status text NOT NULL,"
            " created timestamptz NOT NULL DEFAULT now(),"
            " changed timestamptz NOT NULL DEFAULT now())"
        )
        self._last = 0

    def add(self, count: int) -> range:
        """Add *count* rows in one statement, and return their ids."""
        first, self._last = self._last + 1, self._last + count
        self._cursor.execute(
            "INSERT INTO units (id, status) SELECT id, 'queued' FROM generate_series(%s, %s) id",
            (first, self._last),
        )
        return range(first, self._last + 1)


def _timed(place_one: Callable[[], Any], outcome: str, cursor: Any) -> float:
    time.sleep(PAUSE)
    began = time.perf_counter()
    key = place_one()
    while True:
        cursor.execute(outcome, (key,))
        row = cursor.fetchone()
        if row is not None and row[0]:
            return (time.perf_counter() - began) * 1000
        if time.perf_counter() - began > LIMIT:
            raise SystemExit(f"a unit took over {LIMIT} s")
        time.sleep(LOOK_EVERY)


def serve(place_many: Callable[[int], None], place_one: Callable[[], Any], outcome: str) -> None:
    """Do as told until the input ends.

    :param place_one: places one unit and returns its key
    :param outcome: SQL that tells of a key whether its success is committed
    """
    cursor = connect().cursor()
    print("ready", flush=True)
    for line in sys.stdin:
        what, count = line.split()
        if what == "many":
            began = time.perf_counter()
            place_many(int(count))
            answer: dict[str, Any] = {"seconds": time.perf_counter() - began}
        else:
            answer = {"ms": [_timed(place_one, outcome, cursor) for _ in range(int(count))]}
        print(json.dumps(answer), flush=True)
    # Whatever threads a client library has need not be waited for.
    os._exit(0)
