"""Placing an order and claiming its first units in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import pytest_twisted
from ledger_support import Ledger, lead, move, order, together

from rtb.ledger import BadDataError, Books, RefusedError
from rtb.model.lifecycle import Kind
from rtb.model.orders import NewOrder, NewUnit

_GATE = "SELECT claims FROM gate"


@pytest_twisted.ensureDeferred
async def test_a_unit_is_claimed_when_it_is_placed(books: Books, ledger: Ledger) -> None:
    await lead(books, capacity=2)
    await books.set_going(True)
    answer, claim = await books.place_and_claim(order(3), 99)
    assert answer == {"id": 1, "units": 3, "going": True}
    assert [unit.unit for unit in claim.units] == [1, 2]
    assert (claim.ledger, claim.box, claim.leader, claim.boxes) == (ledger.id, "outbox", "l1", 1)
    assert ledger.statuses(1, 2, 3) == ["sent", "sent", "waiting"]
    assert ledger.one("SELECT o.created_at = f.claimed_at FROM orders o, flights f LIMIT 1")
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_who_has_less_is_first_also_where_another_places(
    books: Books, ledger: Ledger
) -> None:
    await lead(books, capacity=3)
    await books.set_going(True)
    await books.place_and_claim(order(3, account="ada"), 99)
    await books.place(order(2, account="bob"))
    await books.apply(ledger.id, [move((1, 1), Kind.SUCCESS)])
    _, claim = await books.place_and_claim(order(1, account="ada"), 99)
    assert [(unit.unit, unit.account) for unit in claim.units] == [(4, "bob")]
    assert ledger.wrong_counts() == []


@pytest.mark.parametrize(
    "why", ["stopped", "full", "of another kind", "no leader", "restored", "no more"]
)
@pytest_twisted.ensureDeferred
async def test_where_nothing_can_be_claimed_it_is_only_placed(
    books: Books, ledger: Ledger, why: str
) -> None:
    if why != "no leader":
        await lead(books, capacity=1)
    await books.set_going(why != "stopped")
    if why == "full":
        await books.place_and_claim(order(1), 99)
    if why == "restored":
        await books.note_restored(ledger.id)
    workload = "other" if why == "of another kind" else "w"
    before = ledger.one(_GATE)
    answer, claim = await books.place_and_claim(
        order(2, workload=workload), 99 if why != "no more" else 0
    )
    assert answer["units"] == 2
    assert (claim.count, claim.units, claim.boxes) == (0, [], 0)
    of_order = "SELECT waiting, ready FROM counters WHERE kind = 'order' AND id = %s"
    assert ledger.sql(of_order, answer["id"]) == [(2, 2)]
    # Nobody else had to wait for the gate, where it was seen before.
    assert (ledger.one(_GATE) == before) is (why not in ("of another kind", "no more"))
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_what_is_refused_is_neither_placed_nor_claimed(books: Books, ledger: Ledger) -> None:
    await lead(books, capacity=1)
    await books.set_going(True)
    kept = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    before = ledger.sql(kept)
    assert len(before) == 1
    bad = NewOrder(account="ada", workload="w", units=[NewUnit("a", b'"\\u0000"'), NewUnit("a")])
    with pytest.raises(BadDataError):
        await books.place_and_claim(bad, 99)
    with pytest.raises(RefusedError):
        await books.place_and_claim(order(1, account="nobody"), 99, closed=True)
    assert ledger.sql("SELECT * FROM orders") == []
    _, claim = await books.place_and_claim(order(1), 99, key="k", fingerprint="f")
    assert claim.count == 1
    with pytest.raises(RefusedError) as caught:
        await books.place_and_claim(order(1), 99, key="k", fingerprint="f")
    assert caught.value.code == "RT200"
    assert ledger.one("SELECT count(*) FROM orders") == 1
    # The lock that says that this API lives was never let go.
    assert ledger.sql(kept) == before
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_nobody_waits_in_a_circle_and_n_is_kept(
    open_books: Callable[..., Books], ledger: Ledger
) -> None:
    one, other, third = open_books(), open_books(), open_books()
    random = Random(2)
    accounts = [f"a{number}" for number in range(6)]
    await lead(one, capacity=8)
    await one.set_going(True)
    _, claim = await one.place_and_claim(order(8, account="a0"), 99)
    keys = [unit.key for unit in claim.units]
    for _ in range(40):
        random.shuffle(keys)
        ended, keys = keys[:5], keys[5:]
        # A deadlock would end one of these with an error.
        (_, first), (_, second), (_, last), _ = await together(
            one.turn(ledger.id, [move(key, Kind.SUCCESS) for key in ended], None, 99),
            other.place_and_claim(order(2, account=random.choice(accounts)), 99),
            third.place_and_claim(order(3, account=random.choice(accounts)), 99),
            other.place(order(2, account=random.choice(accounts))),
        )
        keys += [unit.key for claim in (first, second, last) for unit in claim.units]
        assert len(keys) <= 8
        assert ledger.one("SELECT sent + queued FROM counters WHERE kind = 'box'") == len(keys)
    assert ledger.wrong_counts() == []
