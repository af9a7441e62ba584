from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import pytest_twisted
from ledger_support import Ledger, lead, move, open_attempts, order, say, together, vouching

from rtb.ledger import Books
from rtb.model.lifecycle import CLOSING, Kind
from rtb.model.moves import Move
from rtb.model.wire import UnitKey

KINDS = [Kind.QUEUED, Kind.PROCESSING, *sorted(CLOSING), Kind.SUCCESS, Kind.SUCCESS]


@pytest.mark.parametrize("seed", range(3))
@pytest_twisted.ensureDeferred
async def test_every_count_equals_a_recount_after_any_traffic(
    open_books: Callable[..., Books], ledger: Ledger, seed: int
) -> None:
    """C1. Several writers at once, overlapping flushes, duplicates, and late words."""
    several = [open_books(random=Random(seed).random) for _ in range(4)]
    for box, workloads in (("one", ["v"]), ("two", ["v", "w"])):
        await lead(several[0], box, leader=box, capacity=25, workloads=workloads)
    await several[0].set_going(True)
    opened: list[UnitKey] = []  # also the closed ones: late words are to be said, too

    def said(random: Random) -> list[Move]:
        keys = random.sample(opened, min(len(opened), random.randint(1, 12)))
        return [
            vouching(key, "one") if random.random() < 0.2 else move(key, random.choice(KINDS))
            for key in keys
        ]

    async def write(books: Books, random: Random) -> None:
        for _ in range(60):
            what = random.random()
            if what < 0.15:
                await books.place(
                    order(random.randint(1, 8), random.choice("abc"), random.choice("vw"))
                )
            elif what < 0.45:
                claim = await books.claim(random.choice(["one", "two"]), random.randint(1, 9))
                opened.extend(unit.key for unit in claim.units)
            elif what < 0.9:
                await books.apply(ledger.id, said(random))
            elif what < 0.95:
                ledger.sql(
                    "UPDATE units SET not_before = now() WHERE not_before IS NOT NULL AND"
                    " id IN (SELECT id FROM units WHERE not_before IS NOT NULL"
                    " ORDER BY id FOR UPDATE SKIP LOCKED)"
                )
                await books.wake()
            else:
                assert ledger.wrong_counts() == []  # in the midst of it

    randoms = [Random(100 * seed + i) for i in range(4)]
    await together(*(write(*pair) for pair in zip(several, randoms, strict=True)))
    assert ledger.wrong_counts() == []
    assert len(opened) > 20
    assert ledger.one("SELECT count(DISTINCT status) FROM units") >= 5


@pytest_twisted.ensureDeferred
async def test_overlapping_flushes_do_not_wait_for_each_other_for_ever(
    open_books: Callable[..., Books], ledger: Ledger
) -> None:
    """One lock order: no deadlock, in whatever order two flushes name the same units."""
    one, other = open_books(), open_books()
    await lead(one, capacity=100)
    for account in ("ada", "bob"):
        await one.place(order(30, account))
    await one.set_going(True)
    keys = [unit.key for unit in (await one.claim("outbox", 60)).units]
    forwards = [move(key, Kind.PROCESSING) for key in keys]
    backwards = [move(key, Kind.SUCCESS) for key in reversed(keys)]
    await together(*(one.apply(ledger.id, forwards), other.apply(ledger.id, backwards)))
    assert ledger.one("SELECT count(*) FROM units WHERE status = 'success'") == 60
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_share_is_written_when_it_changes_and_only_then(
    books: Books, ledger: Ledger
) -> None:
    (unit, _) = await open_attempts(books, 2)
    await books.place(order(1))

    async def writes(kind: Kind) -> bool:
        before = ledger.one("SELECT xmin::text FROM shares")
        await say(books, ledger, unit.key, kind)
        assert ledger.wrong_counts() == []
        return bool(ledger.one("SELECT xmin::text FROM shares") != before)

    assert not await writes(Kind.QUEUED)
    assert not await writes(Kind.PROCESSING)
    assert await writes(Kind.SUCCESS)


def test_the_check_itself_sees_each_kind_of_error(ledger: Ledger) -> None:
    ledger.sql("INSERT INTO accounts (name) VALUES ('ada')")
    ledger.sql("INSERT INTO orders (account_id, workload) SELECT id, 'w' FROM accounts")
    ledger.sql("INSERT INTO units (order_id, name) SELECT id, 'u' FROM orders")
    assert ledger.wrong_counts() == []
    for spoil in (
        "UPDATE counters SET waiting = waiting + 1 WHERE kind = 'total'",
        "UPDATE counters SET waiting = 0, error = 1 WHERE kind = 'account'",
        "UPDATE counters SET waiting = 0 WHERE kind = 'order'",
        "INSERT INTO counters (kind, id, sent) VALUES ('box', 1, 1)",
        "DELETE FROM counters WHERE kind = 'order'",
        "UPDATE shares SET ready = 0",
        "UPDATE shares SET flying = 1",
        "DELETE FROM shares",
        "UPDATE orders SET finished_at = now()",
        "UPDATE orders SET reached = 9",
        "INSERT INTO flights VALUES (1, 1, 1, 1, NULL, 1)",
        "UPDATE units SET attempt = 1; INSERT INTO events (unit_id, round, attempt, kind)"
        " SELECT id, 1, 1, 'claimed' FROM units",
    ):
        ledger.sql("BEGIN")
        ledger.sql(spoil)
        assert ledger.wrong_counts(), spoil
        ledger.sql("ROLLBACK")
