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

_NUMBERS = itertools.count(1)


def _run(database: Database, statement: str) -> None:
    connection = connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture(scope="session")
def template(reactor: Any, ledger_server: Database) -> Iterator[str]:
    """A database with the tables and nothing in them, to be copied: quicker than to migrate."""
    name = f"rtb_template_{os.getpid()}"
    _run(ledger_server, f"CREATE DATABASE {name}")
    blockon(Deferred.fromCoroutine(migrate(reactor, attrs.evolve(ledger_server, name=name))))
    yield name
    _run(ledger_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ledger(ledger_server: Database, template: str) -> Iterator[Ledger]:
    """A ledger with its tables and nothing in it."""
    name = f"rtb_ledger_{os.getpid()}_{next(_NUMBERS)}"
    _run(ledger_server, f"CREATE DATABASE {name} TEMPLATE {template}")
    database = attrs.evolve(ledger_server, name=name)
    connection = connect(database)
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_id FROM gate")
        ((identity,),) = cursor.fetchall()
    yield Ledger(database, connection, identity)
    connection.close()
    _run(ledger_server, f"DROP DATABASE {name} WITH (FORCE)")


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
