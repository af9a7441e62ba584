from __future__ import annotations

from collections.abc import Callable

import pytest
import pytest_twisted
from ledger_support import (
    Ledger,
    agent,
    lead,
    move,
    open_attempts,
    order,
    report,
    say,
    vouching,
)

from rtb.ledger import Books, LedgerUnavailableError
from rtb.model.lifecycle import Kind
from rtb.model.wire import Presence


async def end_epochs(books: Books, count: int) -> None:
    for _ in range(count):
        await books.end_epoch(*(await books.epoch()))


@pytest_twisted.ensureDeferred
async def test_an_epoch_ends_once(books: Books, ledger: Ledger) -> None:
    identity, epoch = await books.epoch()
    assert identity == ledger.id
    await books.end_epoch(identity, epoch)
    await books.end_epoch(identity, epoch)  # its barrier came twice
    await books.end_epoch("of another ledger", epoch + 1)
    await books.end_epoch(identity, epoch + 2)
    assert await books.epoch() == (identity, epoch + 1)


@pytest_twisted.ensureDeferred
async def test_a_ledger_that_is_being_made_is_not_there_yet(books: Books, ledger: Ledger) -> None:
    """Its tables are, since each migration is a transaction; an API may be at work all the time."""
    ledger.sql("DELETE FROM epochs; DELETE FROM gate")
    for asked in (books.epoch, books.is_restored, lambda: books.adopt(report())):
        with pytest.raises(LedgerUnavailableError, match="being made"):
            await asked()


@pytest_twisted.ensureDeferred
async def test_nobody_vouched_for_three_epochs(books: Books, ledger: Ledger) -> None:
    named, held, silent = await open_attempts(books, 3)
    await books.apply(ledger.id, [vouching(unit.key) for unit in (named, held, silent)])
    for _ in range(3):
        await end_epochs(books, 1)
        await books.apply(ledger.id, [vouching(named.key), move(held.key, None, vouches=True)])
        assert await books.forsaken() == []
    await end_epochs(books, 1)
    assert await books.forsaken() == [(ledger.id, silent.key, "nobody vouched for it")]
    await say(books, ledger, silent.key, Kind.RESCUED)
    assert await books.forsaken() == []
    assert ledger.statuses(named.unit, held.unit, silent.unit) == ["queued", "queued", "waiting"]


@pytest_twisted.ensureDeferred
async def test_news_of_a_unit_does_not_vouch_for_it(books: Books, ledger: Ledger) -> None:
    """That it started says nothing of whether somebody still has it three epochs later."""
    (unit,) = await open_attempts(books, 1)
    await say(books, ledger, unit.key, Kind.PROCESSING)
    await end_epochs(books, 4)
    assert [key for _, key, _ in await books.forsaken()] == [unit.key]


@pytest_twisted.ensureDeferred
async def test_what_a_gone_api_claimed_is_given_back_at_once(
    open_books: Callable[..., Books], ledger: Ledger
) -> None:
    one, other = open_books(), open_books()
    await lead(one)
    await one.place(order(3))
    await one.set_going(True)
    unsent, vouched = (await one.claim("outbox", 2)).units
    (own,) = (await other.claim("outbox", 1)).units
    await other.apply(ledger.id, [vouching(vouched.key)])
    assert await other.forsaken() == []
    one.close()
    # The server notices the end of a local connection almost at once.
    while ledger.one("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") > 1:
        ledger.sql("SELECT pg_sleep(0.01)")
    assert await other.forsaken() == [(ledger.id, unsent.key, "the API that claimed it is gone")]
    assert ledger.statuses(own.unit) == ["sent"]


@pytest_twisted.ensureDeferred
async def test_the_largest_key_of_an_api_is_found_among_the_locks(
    open_books: Callable[..., Books], ledger: Ledger
) -> None:
    books = open_books(key=2**31 - 1)
    await open_attempts(books, 1)
    assert await open_books().forsaken() == []


# ---- who leads a box


@pytest_twisted.ensureDeferred
async def test_a_new_incarnation_leads_and_a_superseded_one_never_again(
    books: Books, ledger: Ledger
) -> None:
    assert not await books.report(report(leader="l1"))
    assert await books.adopt(report(leader="l1")) == "l1"
    assert await books.adopt(report(leader="l1")) == "l1"
    assert await books.report(report(leader="l1"))
    assert await books.adopt(report(leader="l2")) == "l2"
    assert not await books.report(report(leader="l1", capacity=7))
    assert await books.adopt(report(leader="l1")) == "l2"
    assert await books.report(report(leader="l2", capacity=9))
    assert ledger.sql("SELECT leader, capacity FROM boxes") == [("l2", 9)]
    assert ledger.sql("SELECT incarnation FROM incarnations ORDER BY 1") == [("l1",), ("l2",)]


@pytest_twisted.ensureDeferred
async def test_one_incarnation_leads_one_box(books: Books, ledger: Ledger) -> None:
    await lead(books, "one", leader="l1")
    await lead(books, "two", leader="l2")
    # An incarnation of another box is not "never seen".
    assert await books.adopt(report("two", leader="l1")) == "l2"
    assert await books.boxes() == ["one", "two"]


@pytest_twisted.ensureDeferred
async def test_what_a_new_leader_did_not_name(books: Books, ledger: Ledger) -> None:
    named, unnamed, sent, running, elsewhere = await open_attempts(books, 5)
    await books.apply(
        ledger.id, [vouching(unit.key) for unit in (named, unnamed, running, elsewhere)]
    )
    await say(books, ledger, running.key, Kind.PROCESSING)
    await lead(books, "second", leader="l9")
    ledger.sql(
        "UPDATE flights SET box_id = (SELECT id FROM boxes WHERE name = 'second')"
        " WHERE unit_id = %s",
        elsewhere.unit,
    )
    await lead(books, leader="l2", capacity=1000)
    await books.apply(ledger.id, [vouching(named.key, "l2")])
    # Neither what is sent, which may be in the box's queue, nor what an agent runs.
    assert await books.unnamed("outbox", "l2") == [
        (ledger.id, unnamed.key, "its leader was replaced")
    ]
    assert await books.unnamed("outbox", "l1") == []  # it does not lead
    assert ledger.statuses(sent.unit) == ["sent"]


@pytest_twisted.ensureDeferred
async def test_the_agents_of_a_full_report(books: Books, ledger: Ledger) -> None:
    await lead(books, full=True, agents=[agent("a1"), agent("a2")])
    assert await books.drain_agent("a1") == "outbox"
    assert await books.drain_agent("nobody") is None
    await lead(books, agents=[])  # not a full one
    await lead(books, full=True, part=1, parts=2, agents=[])
    state = await books.box_state("outbox")
    assert state is not None
    assert state.draining == ["a1"]
    last = [agent("a1", presence=Presence.DRAINING, busy=3), agent("a3", workloads=["v", "w"])]
    await lead(books, full=True, part=2, parts=2, agents=last)
    assert ledger.sql(
        "SELECT incarnation, name, presence, busy, workloads, draining FROM agents ORDER BY 1"
    ) == [
        ("a1", "the a1", "draining", 3, ["w"], True),
        ("a3", "the a3", "ready", 1, ["v", "w"], False),
    ]


@pytest_twisted.ensureDeferred
async def test_what_a_box_needs_to_know(books: Books, ledger: Ledger) -> None:
    assert await books.box_state("outbox") is None
    await lead(books)
    state = await books.box_state("outbox")
    assert state is not None
    assert (state.ledger_id, state.leader, state.going) == (ledger.id, "l1", False)
    assert (state.backlog, state.weights, state.draining) == ({}, {}, [])
    ledger.sql("INSERT INTO accounts (name, weight) VALUES ('bob', 2.5)")
    for account, workload in (("ada", "w"), ("bob", "w"), ("cy", "v")):
        await books.place(order(3, account, workload))
    await books.set_going(True)
    await books.claim("outbox", 4)
    state = await books.box_state("outbox")
    assert state is not None
    assert state.going
    assert state.backlog == {"w": 2, "v": 3}
    assert state.weights == {"ada": 1.0, "bob": 2.5}


@pytest_twisted.ensureDeferred
async def test_a_box_is_forgotten_when_nothing_of_it_is_in_flight(
    books: Books, ledger: Ledger
) -> None:
    assert await books.forget_box("outbox") is None
    (unit,) = await open_attempts(books, 1)
    await lead(books, full=True, gone=True, agents=[agent("a1")])
    assert await books.forget_box("outbox") is False
    await say(books, ledger, unit.key, Kind.SUCCESS)
    await lead(books)
    assert await books.forget_box("outbox") is False  # its leader reports
    await lead(books, gone=True)
    assert await books.forget_box("outbox") is True
    assert await books.boxes() == []
    assert ledger.one("SELECT count(*) FROM agents") == 0
    await lead(books, leader="l2")
    assert await books.boxes() == ["outbox"]
    assert ledger.wrong_counts() == []
