"""An open ledger for each test, with the books of one API."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from orders_support import Ledger
from pytest_twisted import blockon
from twisted.internet.defer import Deferred

from rtb.ledger.migrations import migrate
from rtb.settings import Database


@pytest.fixture
def ledger(reactor: Any, database: Database) -> Iterator[Ledger]:
    blockon(Deferred.fromCoroutine(migrate(reactor, database, seed_count=0)))
    ledger = Ledger(reactor, database, Random(7))
    yield ledger
    ledger.close()
