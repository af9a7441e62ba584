"""What claims and flushes meet that others hold.

A flush that claims books twice in a transaction: nobody may hold what it comes to second and wait
for what it has. What somebody holds is not claimed, and not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest_twisted
from ledger_support import Ledger, connect, lead, move, order, together
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from rtb.ledger import Books, Verbs
from rtb.ledger.loading import Loading
from rtb.model.lifecycle import Kind
from rtb.model.orders import NewOrder
from rtb.model.verbs import Filter, Verb

_ACCOUNTS = [f"a{number}" for number in range(12)]


def _streamed(ledger: Ledger, account: str) -> None:
    new = NewOrder(account=account, workload="w", units=[])
    loading = Loading(ledger.database, new, key=None, closed=False)
    try:
        loading.begin()
        loading.add([(1, "one", None), (2, "two", None)])
        loading.conclude("", {})
    finally:
        loading.close()


@pytest_twisted.ensureDeferred
async def test_orders_of_many_accounts_come_while_flushes_claim(
    open_books: Callable[..., Books], ledger: Ledger
) -> None:
    one, other, third = open_books(), open_books(), open_books()
    random = Random(1)
    await lead(one, capacity=30)
    for account in _ACCOUNTS:
        await one.place(order(3, account=account))
    await one.set_going(True)
    keys = [unit.key for unit in (await one.claim(None, 99)).units]
    for _ in range(40):
        random.shuffle(keys)
        ended, keys = keys[:8], keys[8:]
        streaming = deferToThread(_streamed, ledger, random.choice(_ACCOUNTS))
        # A deadlock would end one of these with an error.
        (_, claim), *_ = await together(
            one.turn(ledger.id, [move(key, Kind.SUCCESS) for key in ended], None, 99),
            other.place(order(2, account=random.choice(_ACCOUNTS))),
            third.place(order(2, account=random.choice(_ACCOUNTS))),
            other.claim(None, 1),
        )
        await streaming
        keys += [unit.key for unit in claim.units]
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_unit_that_was_held_during_a_claim_is_claimed_later(
    books: Books, ledger: Ledger
) -> None:
    await lead(books, capacity=60)
    await books.place(order(40))
    await books.set_going(True)
    person = connect(ledger.database)
    try:
        person.autocommit = False
        with person.cursor() as cursor:
            cursor.execute("SELECT FROM units WHERE id = 5 FOR UPDATE")
            assert len((await books.claim(None, 30)).units) == 29
        person.rollback()
    finally:
        person.close()
    assert ledger.wrong_counts() == []
    assert [unit.unit for unit in (await books.claim(None, 2)).units] == [5, 31]


@pytest_twisted.ensureDeferred
async def test_a_cancel_holds_no_counter_while_it_waits_for_an_errand(
    reactor: Any, books: Books, ledger: Ledger
) -> None:
    """Whoever follows the errand comes to the counters next."""
    placed = await books.place(order(3))
    verbs = Verbs(reactor, ledger.database)
    follower = connect(ledger.database)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    try:
        await verbs.change_units(placed["id"], Verb.HOLD, Filter(), 3)
        follower.autocommit = False
        with follower.cursor() as cursor:
            cursor.execute("SELECT FROM errands FOR UPDATE")
            cancelling = Deferred.fromCoroutine(verbs.change(placed["id"], Verb.CANCEL))
            while not ledger.one(waits):
                await deferLater(reactor, 0.01, lambda: None)
            cursor.execute("SELECT FROM counters WHERE kind <> 'box' FOR UPDATE NOWAIT")
        follower.commit()
        await cancelling
    finally:
        follower.close()
        verbs.close()
    assert ledger.one("SELECT state FROM orders") == "cancelling"
