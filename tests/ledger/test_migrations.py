from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from ledger_support import Ledger, connect, lead, move, order, together

from rtb.ledger import Books, SchemaError, migrations
from rtb.ledger.migrations import migrate
from rtb.model.lifecycle import CLOSING, MOVES, Kind
from rtb.settings import Database


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    connection = connect(database)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description is not None else []
    finally:
        connection.close()


@pytest_twisted.ensureDeferred
async def test_an_empty_database_gets_all_and_a_second_run_nothing(
    reactor: Any, database: Database
) -> None:
    done = await migrate(reactor, database)
    assert done
    assert done == sorted(done)
    before = rows(database, "SELECT g.ledger_id, m.* FROM gate g, migrations m")
    assert await migrate(reactor, database) == []
    assert rows(database, "SELECT g.ledger_id, m.* FROM gate g, migrations m") == before


@pytest_twisted.ensureDeferred
async def test_every_ledger_has_an_id_of_its_own_and_does_not_go_by_itself(
    reactor: Any, database: Database
) -> None:
    await migrate(reactor, database)
    (first,) = rows(database, "SELECT ledger_id, going FROM gate")
    rows(database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await migrate(reactor, database)
    (second,) = rows(database, "SELECT ledger_id, going FROM gate")
    assert first[0] != second[0]
    assert (len(first[0]), first[1], second[1]) == (24, False, False)


@pytest_twisted.ensureDeferred
async def test_several_processes_migrate_at_the_same_time(reactor: Any, database: Database) -> None:
    done = await together(*(migrate(reactor, database, seed_count=7) for _ in range(4)))
    assert sorted(map(len, done))[:3] == [0, 0, 0]
    assert max(map(len, done)) > 0
    assert rows(database, "SELECT count(*) FROM units") == [(7,)]


@pytest_twisted.ensureDeferred
async def test_a_file_that_was_edited_is_noticed(reactor: Any, database: Database) -> None:
    await migrate(reactor, database)
    rows(database, "UPDATE migrations SET sha256 = 'other' WHERE name LIKE '0001%'")
    with pytest.raises(SchemaError, match=r"0001_books\.sql was changed after it was applied"):
        await migrate(reactor, database)


@pytest_twisted.ensureDeferred
async def test_a_newer_rtb_is_noticed_and_the_lock_given_back(
    reactor: Any, database: Database
) -> None:
    await migrate(reactor, database)
    rows(database, "INSERT INTO migrations (name, sha256) VALUES ('9999_later.sql', 'x')")
    for _ in range(2):  # the second time would wait for the first one's lock
        with pytest.raises(SchemaError, match=r"a newer rtb applied 9999_later\.sql: upgrade"):
            await migrate(reactor, database)


@pytest_twisted.ensureDeferred
async def test_the_lifecycle_of_the_ledger_is_the_table_of_moves(
    reactor: Any, ledger: Ledger
) -> None:
    moves = {(s, k): (after, k in CLOSING) for (s, k), after in MOVES.items()}

    def kept() -> dict[tuple[str, str], tuple[str, bool]]:
        return {(s, k): (n, c) for s, k, n, c in ledger.sql("TABLE lifecycle")}

    assert kept() == moves
    # Whatever an older version had there is put right at the next start.
    ledger.sql("INSERT INTO lifecycle VALUES ('success', 'lost', 'waiting', true)")
    ledger.sql("DELETE FROM lifecycle WHERE kind = 'queued'")
    ledger.sql("UPDATE lifecycle SET next = 'error' WHERE kind = 'success'")
    await migrate(reactor, ledger.database)
    assert kept() == moves


@pytest_twisted.ensureDeferred
async def test_the_statuses_and_kinds_are_those_of_the_model(ledger: Ledger) -> None:
    from rtb.model.lifecycle import Kind, Status

    assert ledger.sql("SELECT unnest(enum_range(NULL::unit_status))") == [(s,) for s in Status]
    assert {k for (k,) in ledger.sql("SELECT unnest(enum_range(NULL::event_kind))")} == set(Kind)


@pytest_twisted.ensureDeferred
async def test_the_backlog_is_seeded_once(reactor: Any, database: Database) -> None:
    await migrate(reactor, database, seed_count=100)
    await migrate(reactor, database, seed_count=100)
    assert rows(
        database,
        "SELECT a.name, o.workload, count(*), min(u.name), max(u.name), min(u.status)"
        " FROM units u JOIN orders o ON o.id = u.order_id JOIN accounts a ON a.id = o.account_id"
        " GROUP BY o.id, a.name",
    ) == [("default", "coinflip", 100, "unit-001", "unit-100", "waiting")]
    assert rows(database, "SELECT waiting FROM counters WHERE kind = 'total'") == [(100,)]


@pytest_twisted.ensureDeferred
async def test_no_backlog_for_a_ledger_with_orders(
    reactor: Any, ledger: Ledger, books: Any
) -> None:
    from ledger_support import order

    await books.place(order(2))
    await migrate(reactor, ledger.database, seed_count=100)
    assert ledger.one("SELECT count(*) FROM units") == 2


@pytest_twisted.ensureDeferred
async def test_a_backlog_of_nothing(reactor: Any, database: Database) -> None:
    await migrate(reactor, database, seed_count=0)
    assert rows(database, "SELECT count(*) FROM orders") == [(0,)]
    # It was the first start: a later one does not fill it either.
    await migrate(reactor, database, seed_count=100)
    assert rows(database, "SELECT count(*) FROM orders") == [(0,)]


@pytest_twisted.ensureDeferred
async def test_what_waits_and_what_is_in_flight_is_there_after_an_upgrade(
    reactor: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the schema in which a claim had a row of history and an index said what is ready."""
    with monkeypatch.context() as earlier:
        shipped = [file for file in migrations._files() if file[0] < "0014"]
        earlier.setattr(migrations, "_files", lambda: iter(shipped))
        await migrate(reactor, database)
    before = Books(reactor, database, key=1, random=lambda: 0.5)
    await lead(before, capacity=50)
    await before.place(order(40))
    await before.set_going(True)
    flying = [unit.key for unit in (await before.claim(None, 20)).units]
    rows(database, "UPDATE units SET priority = 1 WHERE id = 30")
    before.close()

    assert await migrate(reactor, database) == ["0014_claims.sql"]

    connection = connect(database)
    ledger, after = (
        Ledger(database, connection),
        Books(reactor, database, key=2, random=lambda: 0.5),
    )
    try:
        assert ledger.wrong_counts() == []
        ended = [move(key, Kind.SUCCESS, queued=True, started=True) for key in flying[:19]]
        back = move(flying[19], Kind.RETURNED, why="drained")
        assert await after.apply(ledger.id, [*ended, back]) == []
        assert ledger.kinds(1) == ["claimed", "queued", "processing", "success"]
        queued = "SELECT DISTINCT who FROM history WHERE kind = 'queued'"
        assert ledger.one(queued) == "outbox", "by the box that it was claimed for"
        claimed = (await after.claim(None, 5)).units
        assert [unit.unit for unit in claimed] == [30, 20, 21, 22, 23]
        assert ledger.kinds(20) == ["claimed", "returned", "claimed"]
        assert ledger.wrong_counts() == []
    finally:
        after.close()
        connection.close()
