from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from ledger_support import connect, together
from pytest_twisted import blockon
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall

from rtb.ledger.errors import (
    BadDataError,
    LedgerError,
    LedgerUnavailableError,
    SchemaError,
    TooSlowError,
)
from rtb.ledger.lane import Lane
from rtb.sandbox.directory import DataDirectory
from rtb.sandbox.postgres import Postgres
from rtb.settings import Database

PID = "SELECT pg_backend_pid()"


@pytest.fixture
def make_lane(reactor: Any) -> Iterator[Any]:
    lanes: list[Lane] = []

    def make(database: Database, limit: float = 5.0, **options: Any) -> Lane:
        lanes.append(Lane(reactor, database, op="test", limit=limit, **options))
        return lanes[-1]

    yield make
    for lane in lanes:
        lane.close()


@pytest.fixture
def lane(make_lane: Any, ledger_server: Database) -> Lane:
    made: Lane = make_lane(ledger_server)
    return made


class Ticks:
    """Counts the reactor's ticks, to see whether it stood still."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.count = 0
        self.longest = 0.0
        self._last = self.began = reactor.seconds()
        self._call = LoopingCall(self._tick)
        self._call.clock = reactor
        self._call.start(0.05)

    def _tick(self) -> None:
        now = self.reactor.seconds()
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self.count += 1

    def stop(self) -> float:
        self._call.stop()
        return float(self.reactor.seconds() - self.began)


@pytest.fixture
def own_server(reactor: Any, public_directory: Path) -> Iterator[tuple[Postgres, Database]]:
    """A PostgreSQL that a test may freeze."""
    path = public_directory / "frozen"
    directory = DataDirectory(path)
    directory.open()
    server = Postgres(reactor, directory, durable=False)
    blockon(Deferred.fromCoroutine(server.start()))
    yield (
        server,
        Database(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            name=server.name,
        ),
    )
    blockon(Deferred.fromCoroutine(server.stop()))
    directory.close()
    shutil.rmtree(path, ignore_errors=True)


@pytest_twisted.ensureDeferred
async def test_a_frozen_server_stops_neither_the_reactor_nor_the_lane(
    reactor: Any, make_lane: Any, own_server: tuple[Postgres, Database]
) -> None:
    """T9, and then T10: the server that is killed while frozen, and comes back."""
    server, database = own_server
    lane = make_lane(database, limit=1.0)
    ((before,),) = await lane.run(PID)
    server.process.pause()
    ticks = Ticks(reactor)
    try:
        with pytest.raises(TooSlowError, match="no answer within 1 s"):
            await lane.run("SELECT 1")
        elapsed = ticks.stop()
    finally:
        server.process.resume()
    assert 0.9 < elapsed < 2.0
    assert ticks.longest < 0.5
    assert ticks.count > elapsed / 0.05 / 3
    ((after,),) = await lane.run(PID)
    assert after != before

    await server.stop()
    with pytest.raises(LedgerUnavailableError):
        await lane.run("SELECT 1")
    with pytest.raises(LedgerUnavailableError, match=f"PostgreSQL at {database.where}: .*RTB_DB"):
        await lane.run("SELECT 1")
    await server.start_again()
    assert await lane.run("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_connecting_to_a_server_that_says_nothing_ends_in_time(
    reactor: Any, make_lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtb.ledger.lane._CONNECT_LIMIT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        lane = make_lane(Database(host="127.0.0.1", port=silent.getsockname()[1]))
        ticks = Ticks(reactor)
        with pytest.raises(LedgerUnavailableError, match="no answer within"):
            await lane.run("SELECT 1")
        assert 0.4 < ticks.stop() < 1.5


class _Hangup(Protocol):
    """A server that ends while a client introduces itself."""

    last_word = b""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.last_word)
        self.transport.loseConnection()


_FATAL = b"SFATAL\0C57P03\0Mthe database system is shutting down\0\0"


@pytest.mark.parametrize(
    "last_word",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"R" + (8).to_bytes(4, "big") + bytes(4), id="welcome"),
        pytest.param(b"E" + (4 + len(_FATAL)).to_bytes(4, "big") + _FATAL, id="fatal"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_server_that_ends_while_it_is_connected_to_is_no_unhandled_error(
    reactor: Any, make_lane: Any, last_word: bytes
) -> None:
    kind = type("Hangup", (_Hangup,), {"last_word": last_word})
    port = reactor.listenTCP(0, Factory.forProtocol(kind), interface="127.0.0.1")
    lane = make_lane(Database(host="127.0.0.1", port=port.getHost().port, sslmode="disable"))
    for _ in range(3):
        with pytest.raises(LedgerUnavailableError, match=r"RTB_DB_HOST"):
            await lane.run("SELECT 1")
    await port.stopListening()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in a statement"])
@pytest_twisted.ensureDeferred
async def test_a_terminated_connection_is_replaced(
    lane: Lane, ledger_server: Database, busy: bool, reactor: Any
) -> None:
    """T10."""
    ((before,),) = await lane.run(PID)
    outsider = connect(ledger_server)
    with outsider.cursor() as cursor:
        if busy:
            sleeping = Deferred.fromCoroutine(lane.run("SELECT pg_sleep(60)"))
            cursor.execute("SELECT pg_terminate_backend(%s)", (before,))
            with pytest.raises(LedgerUnavailableError, match=r"administrator|closed"):
                await sleeping
        else:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (before,))
            with suppress(LedgerUnavailableError):  # it had no time to notice
                await lane.run("SELECT 1")
    outsider.close()
    ((after,),) = await lane.run(PID)
    assert after != before


@pytest_twisted.ensureDeferred
async def test_an_end_while_idle_is_noticed_before_the_next_statement(
    lane: Lane, ledger_server: Database, reactor: Any
) -> None:
    ((before,),) = await lane.run(PID)
    outsider = connect(ledger_server)
    with outsider.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (before,))
    outsider.close()
    turn: Deferred[None] = Deferred()
    reactor.callLater(0.1, turn.callback, None)
    await turn
    assert await lane.run("SELECT 1") == [(1,)]


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "a\udfff"], ids=ascii)
@pytest_twisted.ensureDeferred
async def test_text_that_postgresql_cannot_hold(lane: Lane, text: str) -> None:
    """T13."""
    before = await lane.run(PID)
    with pytest.raises(BadDataError):
        await lane.run("SELECT %(text)s", {"text": text})
    assert await lane.run(PID) == before


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("SELECT %(x)s::bigint", 2**63),
        ("SELECT %(x)s::integer", "one"),
        ("SELECT %(x)s::json", "{"),
        ("SELECT %(x)s::jsonb", '"\\u0000"'),
        ("SELECT 1 / %(x)s", 0),
        ("CREATE TEMP TABLE t (x int UNIQUE); INSERT INTO t VALUES (%(x)s), (%(x)s)", 1),
    ],
)
@pytest_twisted.ensureDeferred
async def test_values_that_postgresql_refuses(lane: Lane, statement: str, value: Any) -> None:
    before = await lane.run(PID)
    with pytest.raises(BadDataError):
        await lane.run(statement, {"x": value})
    assert await lane.run(PID) == before


@pytest_twisted.ensureDeferred
async def test_a_missing_table_is_told(make_lane: Any, ledger_server: Database) -> None:
    told: list[SchemaError] = []
    lane = make_lane(ledger_server, tables_gone=told.append)
    with pytest.raises(SchemaError, match=r'"nowhere" does not exist.*run `rtb migrate`'):
        await lane.run("SELECT * FROM nowhere")
    assert len(told) == 1
    assert await lane.run("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_a_defect_of_ours_is_an_error_that_is_not_retried(lane: Lane) -> None:
    with pytest.raises(LedgerError, match="syntax error") as caught:
        await lane.run("SELEC 1")
    assert type(caught.value) is LedgerError
    assert await lane.run("SELECT 1") == [(1,)]


@pytest_twisted.ensureDeferred
async def test_the_server_s_own_limit_keeps_the_connection(lane: Lane) -> None:
    before = await lane.run(PID)
    await lane.run("SET statement_timeout = 100")
    with pytest.raises(TooSlowError, match="statement timeout"):
        await lane.run("SELECT pg_sleep(10)")
    assert await lane.run(PID) == before


@pytest_twisted.ensureDeferred
async def test_the_server_knows_the_limit_too(make_lane: Any, ledger_server: Database) -> None:
    lane = make_lane(ledger_server, limit=1.5)
    shown = [
        (await lane.run(f"SHOW {name}"))[0][0]
        for name in ("statement_timeout", "lock_timeout", "timezone")
    ]
    assert shown == ["1500ms", "1500ms", "UTC"]


@pytest_twisted.ensureDeferred
async def test_statements_run_one_after_the_other(lane: Lane) -> None:
    await lane.run("CREATE TEMP TABLE seen (n int)")
    await together(
        *(
            lane.run("SELECT pg_sleep(0.01); INSERT INTO seen VALUES (%(n)s)", {"n": n})
            for n in range(9)
        )
    )
    assert await lane.run("SELECT n FROM seen ORDER BY ctid") == [(n,) for n in range(9)]


@pytest_twisted.ensureDeferred
async def test_several_statements_are_one_transaction(lane: Lane) -> None:
    await lane.run("CREATE TEMP TABLE pair (n int)")
    with pytest.raises(BadDataError):
        await lane.run("INSERT INTO pair VALUES (1); SELECT 1 / 0")
    assert await lane.run("SELECT n FROM pair") == []


@pytest_twisted.ensureDeferred
async def test_closing_ends_what_is_under_way(lane: Lane) -> None:
    await lane.run("SELECT 1")
    sleeping = Deferred.fromCoroutine(lane.run("SELECT pg_sleep(60)"))
    lane.close()
    with pytest.raises(LedgerError):
        await sleeping


@pytest_twisted.ensureDeferred
async def test_every_new_connection_begins_with_its_statement(
    make_lane: Any, ledger_server: Database
) -> None:
    hold = ("SELECT pg_advisory_lock_shared(%(a)s, %(b)s)", {"a": 7, "b": 8})
    lane = make_lane(ledger_server, once_open=hold)
    held = (
        "SELECT count(*) FROM pg_locks"
        " WHERE locktype = 'advisory' AND classid = 7 AND pid = pg_backend_pid()"
    )
    assert await lane.run(held) == [(1,)]
    with pytest.raises(LedgerUnavailableError):
        await lane.run("SELECT pg_terminate_backend(pg_backend_pid())")
    assert await lane.run(held) == [(1,)]


@pytest_twisted.ensureDeferred
async def test_an_unknown_host_is_answered_with_the_variable_to_set(make_lane: Any) -> None:
    lane = make_lane(Database(host="postgres.invalid"))
    with pytest.raises(LedgerUnavailableError) as caught:
        await lane.run("SELECT 1")
    assert str(caught.value) == (
        "postgres.invalid unknown: set RTB_DB_HOST, for example localhost:5432"
    )


@pytest_twisted.ensureDeferred
async def test_a_refused_password_is_not_repeated(make_lane: Any, ledger_server: Database) -> None:
    wrong = attrs.evolve(ledger_server, password="hunter2-canary")
    with pytest.raises(LedgerUnavailableError, match="password authentication failed") as caught:
        await make_lane(wrong).run("SELECT 1")
    assert "canary" not in str(caught.value)


@pytest_twisted.ensureDeferred
async def test_nobody_there(make_lane: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(LedgerUnavailableError, match=r"127\.0\.0\.1:.*RTB_DB_HOST"):
        await make_lane(Database(host="127.0.0.1", port=port)).run("SELECT 1")
