"""A ledger that is set up, and its books."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from ledger_support import Ledger, connect
from pytest_twisted import blockon
from twisted.internet.defer import Deferred

from rtb.ledger import Books
from rtb.ledger.migrations import migrate
from rtb.settings import Database


@pytest.fixture
def ledger(reactor: Any, database: Database) -> Iterator[Ledger]:
    """A ledger with its tables and nothing in it."""
    blockon(Deferred.fromCoroutine(migrate(reactor, database)))
    connection = connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_id FROM gate")
        ((identity,),) = cursor.fetchall()
    yield Ledger(database, connection, identity)
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
