"""A flush that claims books twice in a transaction.

Nobody may hold what it comes to second and wait for what it has.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest_twisted
from ledger_support import Ledger, lead, move, order, together
from twisted.internet.threads import deferToThread

from rtb.ledger import Books
from rtb.ledger.loading import Loading
from rtb.model.lifecycle import Kind
from rtb.model.orders import NewOrder

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
