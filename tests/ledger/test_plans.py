"""What is planned while a ledger is empty serves it when it is full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest_twisted
from ledger_support import Ledger, lead, move, order
from twisted.internet.task import deferLater

from rtb.ledger import Books
from rtb.model.lifecycle import Kind

_READ = """SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
            WHERE relname = 'units' AND indexrelname = %s"""
_LOOKED_UP = """SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
                 WHERE indexrelname IN ('units_pkey', 'flights_pkey')"""
_OTHERS = """SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND backend_type = 'client backend'"""


@pytest_twisted.ensureDeferred
async def test_a_claim_reads_what_it_takes_of_an_order_and_not_all_of_it(
    reactor: Any, open_books: Callable[..., Books], ledger: Ledger
) -> None:
    ledger.sql("SELECT pg_stat_reset()")
    books = open_books()
    await lead(books, capacity=5000)
    await books.set_going(True)
    await books.place(order(1))
    early = (await books.claim(None, 1)).units
    await books.turn(ledger.id, [move(unit.key, Kind.SUCCESS) for unit in early], None, 1)
    await books.place(order(3000))
    for _ in range(30):
        assert len((await books.claim(None, 100)).units) == 100
    books.close()
    # What a connection did is counted, at the latest, when it ends.
    for _ in range(100):
        if (ledger.one(_READ, "units_by_order") or 0) >= 3000:
            break
        await deferLater(reactor, 0.1, lambda: None)
    # Each claim also walks over the few that were handed out since its order's place was noted.
    assert 3000 <= ledger.one(_READ, "units_by_order") <= 3000 + 30 * 16 + 100
    assert ledger.one(_READ, "units_order_id_name_key") == 0


@pytest_twisted.ensureDeferred
async def test_a_flush_reads_only_what_it_names_also_after_the_tables_were_nearly_empty(
    reactor: Any, open_books: Callable[..., Books], ledger: Ledger
) -> None:
    books = open_books()
    await lead(books, capacity=5000)
    await books.set_going(True)
    await books.place(order(3000))
    early = (await books.claim(None, 5000)).units
    await books.place(order(1))
    assert (await books.claim(None, 1)).count == 1  # behind the others, so that their pages stay
    await books.apply(ledger.id, [move(unit.key, Kind.SUCCESS) for unit in early])
    ledger.sql("DELETE FROM units WHERE order_id = 1")  # as a prune does
    for table in ("units", "flights"):
        ledger.sql(f"VACUUM ANALYZE {table}")
    await books.place(order(2000))
    named = (await books.claim(None, 5000)).units
    assert len(named) == 2000
    books.close()
    # What a connection did is counted when it ends.
    while ledger.one(_OTHERS):
        await deferLater(reactor, 0.05, lambda: None)
    before = ledger.one(_LOOKED_UP)
    books = open_books()
    for unit in named[:20]:
        await books.apply(ledger.id, [move(unit.key, Kind.QUEUED, vouches=True, holder="l1")])
        await books.apply(ledger.id, [move(unit.key, Kind.SUCCESS)])
    books.close()
    while ledger.one(_OTHERS):
        await deferLater(reactor, 0.05, lambda: None)
    assert ledger.one(_LOOKED_UP) - before < 20 * 2 * 20
