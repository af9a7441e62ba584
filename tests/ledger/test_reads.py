from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import pytest_twisted
from ledger_support import Ledger, agent, connect, lead, move, open_attempts, order, say
from twisted.internet.defer import Deferred

from rtb.ledger import BadDataError, Books
from rtb.ledger.reads import Reads
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.orders import NewOrder, NewUnit


@pytest.fixture
def reads(reactor: Any, ledger: Ledger) -> Iterator[Reads]:
    reads = Reads(reactor, ledger.database)
    yield reads
    reads.close()


def counts(**units: int) -> dict[str, int]:
    names = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled")
    return {name: units.get(name, 0) for name in names} | {"total": sum(units.values())}


# ---- placing


@pytest_twisted.ensureDeferred
async def test_an_order_is_placed_with_all_its_units(books: Books, reads: Reads) -> None:
    new = NewOrder(
        account="Ada L.",
        name="april",
        workload="scene",
        priority=-3,
        units=[NewUnit("first", b'{"a":  1.50}'), NewUnit(), NewUnit("third", b"null")],
    )
    answer = await books.place(new)
    placed, going = answer["id"], answer["going"]
    assert not going
    shown = await reads.order(placed)
    assert shown is not None
    created = datetime.fromisoformat(shown.pop("created_at"))
    assert created.utcoffset() is not None
    assert shown == {
        "id": placed,
        "account": "Ada L.",
        "name": "april",
        "workload": "scene",
        "priority": -3,
        "status": "waiting",
        "units": counts(waiting=3),
        "finished_at": None,
        "pruned_at": None,
        "labels": {},
        "state": "open",
        "rate": 0.0,
        "eta": None,
        "pending": [],
        "max_failures": 3,
        "time_limit": None,
        "not_before": None,
        "held_at": None,
        "held_why": None,
        "history": [],
    }
    page = await reads.units(placed, None, 10, None)
    assert page is not None
    assert [(unit["name"], unit["status"]) for unit in page.items] == [
        ("first", "waiting"),
        ("#2", "waiting"),
        ("third", "waiting"),
    ]
    first = await reads.unit(page.items[0]["id"])
    assert first is not None
    assert bytes(first["payload"]) == b'{"a":  1.50}'
    await books.set_going(True)
    assert (await books.place(order()))["going"]


@pytest_twisted.ensureDeferred
async def test_nothing_of_a_bad_order_is_stored(books: Books, ledger: Ledger) -> None:
    units = [NewUnit("same"), NewUnit("same")]
    with pytest.raises(BadDataError):
        await books.place(NewOrder(account="new", units=units))
    with pytest.raises(BadDataError):
        await books.place(NewOrder(units=[NewUnit("a\x00")]))
    for table in ("accounts", "orders", "units", "shares"):
        assert ledger.one(f"SELECT count(*) FROM {table}") == 0
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_an_order_may_take_longer_than_a_person_s_other_wishes(
    books: Books, ledger: Ledger, reactor: Any
) -> None:
    await books.place(order())
    blocker = connect(ledger.database)
    blocker.autocommit = False
    with blocker.cursor() as cursor:
        cursor.execute("SELECT * FROM counters FOR UPDATE")
    reactor.callLater(2.5, blocker.close)
    placing = Deferred.fromCoroutine(books.place(order(2)))
    await books.set_going(True)  # meanwhile
    await placing
    assert ledger.one("SELECT count(*) FROM units") == 3


@pytest_twisted.ensureDeferred
async def test_an_order_is_finished_when_its_last_unit_is(
    books: Books, ledger: Ledger, reads: Reads
) -> None:
    good, bad = await open_attempts(books, 2)
    await say(books, ledger, good.key, Kind.SUCCESS)
    shown = await reads.order(good.order)
    assert shown is not None
    assert (shown["status"], shown["finished_at"]) == ("processing", None)
    await say(books, ledger, bad.key, Kind.ERROR)
    shown = await reads.order(good.order)
    assert shown is not None
    assert (shown["status"], shown["units"]) == ("error", counts(success=1, error=1))
    assert shown["finished_at"] >= shown["created_at"]
    # Another round, as a person's retry will open it.
    ledger.sql("UPDATE units SET status = 'waiting', ready = true WHERE id = %s", bad.unit)
    shown = await reads.order(good.order)
    assert shown is not None
    assert shown["finished_at"] is None


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        ([Kind.SUCCESS, Kind.SUCCESS], "success"),
        ([Kind.SUCCESS, Kind.CANCELLED], "cancelled"),
        ([Kind.ERROR, Kind.CANCELLED], "error"),
        ([Kind.QUEUED, Kind.SUCCESS], "processing"),
        ([Kind.RETURNED, Kind.RETURNED], "waiting"),
        ([Kind.RETURNED, Kind.SUCCESS], "processing"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_status_of_an_order(
    books: Books, ledger: Ledger, reads: Reads, kinds: list[Kind], status: str
) -> None:
    units = await open_attempts(books, 2)
    await books.apply(
        ledger.id, [move(unit.key, kind) for unit, kind in zip(units, kinds, strict=True)]
    )
    shown = await reads.order(units[0].order)
    assert shown is not None
    assert shown["status"] == status


# ---- pages


@pytest_twisted.ensureDeferred
async def test_orders_are_paged_newest_first(books: Books, reads: Reads) -> None:
    placed = [(await books.place(order()))["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = await reads.orders(2, cursor)
        seen += [shown["id"] for shown in page.items]
        await books.place(order())  # one that comes meanwhile moves nothing
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == placed[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
@pytest_twisted.ensureDeferred
async def test_units_are_paged_oldest_first(
    books: Books, ledger: Ledger, reads: Reads, limit: int
) -> None:
    units = await open_attempts(books, 7)
    await books.place(order(3))
    for unit in units[::2]:
        await say(books, ledger, unit.key, Kind.SUCCESS)
    for status, expected in ((None, units), ("success", units[::2]), ("error", [])):
        seen: list[int] = []
        cursor = None
        for _ in range(9):
            page = await reads.units(units[0].order, status, limit, cursor)
            assert page is not None
            assert len(page.items) <= limit
            seen += [unit["id"] for unit in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == [unit.unit for unit in expected]
        streamed = [
            unit["id"] async for rows in reads.all_units(units[0].order, status) for unit in rows
        ]
        assert streamed == seen


@pytest_twisted.ensureDeferred
async def test_a_long_order_is_streamed_in_full(books: Books, reads: Reads) -> None:
    placed = (await books.place(order(2501)))["id"]
    lots = [rows async for rows in reads.all_units(placed, None)]
    assert len(lots) > 2  # never all in memory
    assert [unit["name"] for rows in lots for unit in rows] == [f"#{i}" for i in range(1, 2502)]


@pytest.mark.parametrize("number", [0, -1, 7, 2**63, 10**30])
@pytest_twisted.ensureDeferred
async def test_nothing_by_that_number(reads: Reads, number: int) -> None:
    assert await reads.order(number) is None
    assert await reads.unit(number) is None
    assert await reads.units(number, None, 10, None) is None


# ---- one unit, and all


@pytest_twisted.ensureDeferred
async def test_a_unit_with_its_history(books: Books, ledger: Ledger, reads: Reads) -> None:
    (unit,) = await open_attempts(books, 1)
    ended = Move(*unit.key, Kind.FAILED, who="n/a1", ran=1.5, why="exit 1", output="boom")
    ended.started = True
    await books.apply(ledger.id, [ended])
    ledger.sql("UPDATE units SET not_before = now()")
    await books.wake()
    await books.claim("outbox", 1)
    key = (unit.unit, 2)
    moves = [move(key, Kind.QUEUED, vouches=True, holder="l1")]
    await books.apply(ledger.id, moves)
    shown = await reads.unit(unit.unit)
    assert shown is not None
    assert (shown["status"], shown["attempts"], shown["failures"]) == ("queued", 2, 1)
    assert (shown["box"], shown["holder"], shown["error"]) == ("outbox", "l1", "exit 1")
    await say(books, ledger, key, Kind.SUCCESS, result='{"b":[2]}')
    shown = await reads.unit(unit.unit)
    assert shown is not None
    assert (shown["box"], shown["holder"], shown["error"]) == (None, None, None)
    assert bytes(shown["result"]) == b'{"b":[2]}'
    history = shown["history"]
    assert [(event["attempt"], event["kind"]) for event in history] == [
        (1, "claimed"),
        (1, "processing"),
        (1, "failed"),
        (2, "claimed"),
        (2, "queued"),
        (2, "success"),
    ]
    assert (history[2]["why"], history[2]["output"], history[2]["ran"]) == ("exit 1", "boom", 1.5)
    assert all(event["at"].endswith("Z") for event in history)


@pytest_twisted.ensureDeferred
async def test_a_unit_leads_to_the_log_of_a_container_that_has_gone(
    books: Books, ledger: Ledger, reads: Reads
) -> None:
    (unit,) = await open_attempts(books, 1)
    await lead(books, full=True, agents=[agent("a1", container="container_1"), agent("a2")])
    (shown, other) = await reads.agents()
    assert (shown["container"], shown["log"], other["container"]) == ("container_1", "", "")
    # Where its log is comes to be known a moment later.
    placed = agent("a1", container="container_1", log="http://node/log")
    await lead(books, full=True, agents=[placed])
    await books.apply(
        ledger.id,
        [Move(*unit.key, Kind.SUCCESS, who="n/x/a1", started=True)],
    )
    await lead(books, full=True, agents=[])
    assert await reads.agents() == []
    story = await reads.unit(unit.unit)
    assert story is not None
    logs = [(event["kind"], event.get("container"), event.get("log")) for event in story["history"]]
    assert logs == [
        ("claimed", None, None),
        ("processing", "container_1", "http://node/log"),
        ("success", None, None),
    ]


@pytest_twisted.ensureDeferred
async def test_the_summary(books: Books, ledger: Ledger, reads: Reads) -> None:
    assert await reads.summary() == {"units": counts(), "going": False, "leaders": []}
    units = await open_attempts(books, 3)
    await say(books, ledger, units[0].key, Kind.QUEUED)
    await say(books, ledger, units[1].key, Kind.ERROR)
    agents = [agent("a1"), agent("a2", presence="gone")]
    await lead(books, capacity=1000, full=True, agents=agents, utilization=0.123456)
    summary = await reads.summary()
    (leader,) = summary.pop("leaders")
    assert summary == {"units": counts(sent=1, queued=1, error=1), "going": True}
    assert leader.pop("reported_at").endswith("Z")
    assert leader == {
        "box": "outbox",
        "incarnation": "l1",
        "state": "active",
        "capacity": 1000,
        "queued": 1,
        "sent": 1,
        "utilization": 0.1235,
        "slots": 8,
        "busy": 2,
        "workloads": ["w"],
        "agents": 1,
    }
    for _ in range(3):
        await books.end_epoch(*(await books.epoch()))
    assert (await reads.summary())["leaders"][0]["state"] == "away"


@pytest_twisted.ensureDeferred
async def test_who_is_next(books: Books, reads: Reads) -> None:
    ada = (await books.place(order(3, "ada")))["id"]
    bob = (await books.place(order(2, "bob", "v", priority=9)))["id"]
    shown = await reads.next_units(4)
    assert [(unit["account"], unit["order"], unit["workload"]) for unit in shown] == [
        ("ada", ada, "w"),
        ("bob", bob, "v"),
        ("ada", ada, "w"),
        ("bob", bob, "v"),
    ]
    assert shown[0].keys() == {"id", "name", "order", "account", "workload", "attempts"}
    assert len(await reads.next_units(99)) == 5
    assert await reads.next_units(0) == []
