"""Old work goes: never the counts, never what is still open, and at any moment of its going."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ledger_support import Ledger, connect, lead, move, order, together
from pytest_twisted import ensureDeferred

from rtb.chaos.outsider import Outsider
from rtb.ledger import Books, Gone, Pruning, Reads, RefusedError, Verbs
from rtb.model.lifecycle import Kind
from rtb.model.verbs import Filter, Verb
from rtb.settings import Broker

DAY = 86400.0


@pytest.fixture
def open_pruning(reactor: Any, ledger: Ledger) -> Iterator[Callable[[], Pruning]]:
    opened: list[Pruning] = []

    def make() -> Pruning:
        opened.append(Pruning(reactor, ledger.database))
        return opened[-1]

    yield make
    for pruning in opened:
        pruning.close()


@pytest.fixture
def pruning(open_pruning: Callable[[], Pruning]) -> Pruning:
    return open_pruning()


@pytest.fixture
def reads(reactor: Any, ledger: Ledger) -> Iterator[Reads]:
    reads = Reads(reactor, ledger.database)
    yield reads
    reads.close()


@pytest.fixture
def verbs(reactor: Any, ledger: Ledger) -> Iterator[Verbs]:
    verbs = Verbs(reactor, ledger.database)
    yield verbs
    verbs.close()


async def settle(books: Books, ledger: Ledger, units: int, *, ago: float, errors: int = 0) -> int:
    """Place an order of *units* that settles, a while ago; return its id."""
    if await books.box_state("outbox") is None:
        await lead(books, capacity=100_000)
    placed = await books.place(order(units))
    await books.set_going(True)
    claimed = (await books.claim("outbox", 2000)).units
    assert len(claimed) == units
    await books.apply(
        ledger.id,
        [
            move(unit.key, Kind.ERROR if i < errors else Kind.SUCCESS)
            for i, unit in enumerate(claimed)
        ],
    )
    ledger.sql(
        "UPDATE orders SET finished_at = now() - make_interval(secs => %s) WHERE id = %s",
        ago,
        placed["id"],
    )
    return int(placed["id"])


def miscounts(ledger: Ledger) -> list[Any]:
    """Return wrong counters, as the tests of the ledger and as the chaos checker find them."""
    return [*ledger.wrong_counts(), *Outsider(ledger.database, Broker()).miscounts()]


@ensureDeferred
async def test_the_row_and_the_counts_stay(
    books: Books, ledger: Ledger, pruning: Pruning, reads: Reads, verbs: Verbs
) -> None:
    old = await settle(books, ledger, 7, ago=40 * DAY, errors=2)
    young = await settle(books, ledger, 3, ago=20 * DAY)
    before = await reads.order(old)
    summary = await reads.summary()
    due = await pruning.count(30 * DAY)
    assert (due.orders, due.units) == (1, 7)

    gone = await pruning.prune(30 * DAY)

    assert gone == Gone(1, 7, 7)
    assert ledger.sql("SELECT DISTINCT order_id FROM units") == [(young,)]
    assert ledger.one("SELECT count(*) FROM events") == 3
    after = await reads.order(old)
    assert before is not None
    assert after is not None
    assert after["pruned_at"] is not None
    assert after | {"pruned_at": None, "state": "open", "rate": 0} == before | {"rate": 0}
    assert after["state"] == "pruned"
    assert await reads.summary() == summary
    assert miscounts(ledger) == []
    for ask in (
        reads.units(old, None, 10, None),
        anext(reads.all_units(old, None)),
        verbs.change(old, Verb.RETRY),
        verbs.count(old, Verb.RETRY, Filter()),
    ):
        with pytest.raises(RefusedError) as refused:
            await ask
        assert refused.value.code == "RT410"
    assert await pruning.prune(30 * DAY) == Gone()


@ensureDeferred
async def test_what_is_not_over_stays(books: Books, ledger: Ledger, pruning: Pruning) -> None:
    waiting = await books.place(order(2))
    await lead(books, capacity=100)
    await books.set_going(True)
    await books.claim("outbox", 1)
    assert await pruning.prune(0.0) == Gone()
    assert ledger.one("SELECT count(*) FROM units WHERE order_id = %s", waiting["id"]) == 2
    assert miscounts(ledger) == []


@ensureDeferred
async def test_a_retry_that_was_asked_for_comes_first(
    books: Books, ledger: Ledger, pruning: Pruning, verbs: Verbs
) -> None:
    old = await settle(books, ledger, 3, ago=DAY, errors=1)
    assert await verbs.change(old, Verb.RETRY) == 1
    assert (await pruning.count(0.0)).orders == 0
    assert await pruning.prune(0.0) == Gone()
    ((errand, verb),) = await verbs.errands()
    await verbs.follow(errand, verb)
    assert await pruning.prune(0.0) == Gone()
    assert ledger.one("SELECT count(*) FROM units WHERE order_id = %s", old) == 3


@ensureDeferred
async def test_it_goes_on_where_a_killed_one_ended(
    books: Books, ledger: Ledger, open_pruning: Callable[[], Pruning], reads: Reads
) -> None:
    old = await settle(books, ledger, 1500, ago=DAY, errors=100)
    steps: list[Gone] = []
    first = open_pruning()
    while not any(gone.units for gone in steps):  # marks, deletes one batch, dies
        await first.prune(0.0, go_on=lambda: len(steps) < 2, told=steps.append)
    first.close()
    left = ledger.one("SELECT count(*) FROM units")
    assert 0 < left < 1500
    assert miscounts(ledger) == []
    with pytest.raises(RefusedError):
        await reads.units(old, None, 10, None)

    second = open_pruning()
    assert (await second.count(99 * DAY)).units == left
    gone = await second.prune(99 * DAY)  # what was begun is not young again

    assert gone.units == left
    assert ledger.one("SELECT count(*) FROM units") == 0
    assert ledger.one("SELECT count(*) FROM events") == 0
    assert ledger.sql("SELECT success, error, ended_at IS NOT NULL FROM pruned") == [
        (1400, 100, True)
    ]
    assert miscounts(ledger) == []


@ensureDeferred
async def test_one_prunes_at_a_time(
    books: Books, ledger: Ledger, open_pruning: Callable[[], Pruning]
) -> None:
    for _ in range(3):
        await settle(books, ledger, 500, ago=DAY)
    refused = 0

    async def prune() -> Gone:
        nonlocal refused
        try:
            return await open_pruning().prune(0.0)
        except RefusedError:
            refused += 1
            return Gone()

    all_gone = await together(prune(), prune())

    assert refused == 1
    assert sum(gone.units for gone in all_gone) == 1500
    assert ledger.one("SELECT count(*) FROM units") == 0
    assert miscounts(ledger) == []


@ensureDeferred
async def test_a_lost_connection_loses_the_right_to_prune(
    books: Books, ledger: Ledger, pruning: Pruning
) -> None:
    await settle(books, ledger, 1500, ago=DAY)
    other = connect(ledger.database)
    cut = False

    def told(gone: Gone) -> None:
        nonlocal cut
        if gone.units and not cut:
            cut = True
            ledger.sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
                " WHERE locktype = 'advisory' AND classid = %s AND granted",
                0x52544205,
            )
            with other.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s, 0)", (0x52544205,))

    try:
        with pytest.raises(RefusedError):
            await pruning.prune(0.0, told=told)
    finally:
        other.close()
    assert 0 < ledger.one("SELECT count(*) FROM units") < 1500
    assert miscounts(ledger) == []


@ensureDeferred
async def test_old_lives_of_leaders_are_forgotten(
    books: Books, ledger: Ledger, pruning: Pruning
) -> None:
    for days, leader in ((30, "l1"), (9, "l2"), (8, "l3"), (3, "l4")):
        await lead(books, leader=leader)
        ledger.sql(
            "UPDATE incarnations SET began_at = now() - make_interval(days => %s)"
            " WHERE incarnation = %s",
            days,
            leader,
        )
    await pruning.forget_incarnations()
    kept = ledger.sql("SELECT incarnation FROM incarnations ORDER BY began_at")
    assert kept == [("l3",), ("l4",)]  # l3 was superseded three days ago only
