"""A ledger that is set up, and its books."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import attrs
import pytest
from ledger_support import Ledger, connect
from pytest_twisted import blockon
from twisted.internet.defer import Deferred

from rtb.ledger import Books
from rtb.ledger.migrations import migrate
from rtb.settings import Database

# Every table but those that only a migration fills.
_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid();
TRUNCATE gate, epochs, accounts, orders, units, again, flights, events, boxes, incarnations,
         agents, counters, shares, errands, idempotency_keys, pruned, deeds, deeds_of_units,
         containers
RESTART IDENTITY;
INSERT INTO counters (kind, id) VALUES ('total', 0);
"""


def _run(database: Database, statement: str) -> None:
    connection = connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(scope="session")
def ledger_database(reactor: Any, ledger_server: Database) -> Iterator[Database]:
    """A database with the tables, for all tests here: quicker than one for each."""
    database = attrs.evolve(ledger_server, name=f"rtb_ledger_{os.getpid()}")
    _run(ledger_server, f"CREATE DATABASE {database.name}")
    blockon(Deferred.fromCoroutine(migrate(reactor, database)))
    yield database
    _run(ledger_server, f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.fixture
def ledger(reactor: Any, ledger_database: Database) -> Iterator[Ledger]:
    """A ledger with nothing in it."""
    connection = connect(ledger_database)
    ledger = Ledger(ledger_database, connection)
    ledger.sql(_EMPTY)
    blockon(Deferred.fromCoroutine(migrate(reactor, ledger_database)))
    yield ledger
    connection.close()


@pytest.fixture
def open_books(reactor: Any, ledger: Ledger) -> Iterator[Callable[..., Books]]:
    """Open the books once more, as another API would."""
    opened: list[Books] = []
    keys = itertools.count(101)

    def make(**options: Any) -> Books:
        random = Random(1).random
        values = {"key": next(keys), "random": random} | options
        opened.append(Books(reactor, ledger.database, **values))
        return opened[-1]

    yield make
    for books in opened:
        books.close()


@pytest.fixture
def books(open_books: Callable[..., Books]) -> Books:
    """The books of one API."""
    return open_books()
