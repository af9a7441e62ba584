"""Known-bad builds, each with a scenario of its own that the real build passes.

Not part of the ordinary run: ``pytest tests/chaos/mutants/catch.py``.
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from rtb.api.applier import Applier
from rtb.api.dispatcher import Dispatcher
from rtb.api.epochs import Epochs
from rtb.broker import BrokerClient, Outgoing, private, shared
from rtb.broker.topology import box as box_of
from rtb.broker.topology import track
from rtb.chaos import errand
from rtb.chaos.proxy import Proxy
from rtb.client import Client
from rtb.errors import RtbError
from rtb.leader.reign import Reign
from rtb.ledger import Books
from rtb.ledger.migrations import migrate
from rtb.ledger.queries import QUERIES, Query
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move, Told
from rtb.model.tracker import Tracker
from rtb.model.wire import Control, Out, Report, Roll, Unit, Work, decode, encode
from rtb.roles import build
from rtb.sandbox.directory import free_port
from rtb.settings import Broker, Database, Settings

EPOCH = 0.3


class Stand:
    """Roles inside of this process, where they can be patched; links go through proxies."""

    def __init__(self, reactor: Any, database: Database, broker: Broker, place: Path) -> None:
        self.reactor, self.database, self.broker = reactor, database, broker
        self.executions = place / "executions.log"
        self.executions.touch()
        self.port = free_port()
        self.client = Client(f"http://127.0.0.1:{self.port}", reactor)
        self.services: list[Any] = []
        self.proxies: dict[str, Proxy] = {}
        self.settings: dict[str, str] = {}

    async def start(self, kind: str) -> None:
        proxy = self.proxies[kind] = Proxy(self.reactor, self.broker.host, self.broker.port)
        await proxy.start()
        db, mq = self.database, self.broker
        environ = {
            "RTB_DATABASE_URL": f"postgresql://{db.user}:{quote(db.password)}@{db.where}"
            f"/{db.name}?sslmode={db.sslmode}",
            "RTB_AMQP_URL": f"amqp://{mq.user}:{quote(mq.password)}@127.0.0.1:{proxy.port}"
            f"/{quote(mq.vhost, safe='')}",
            "RTB_API_HOST": f"127.0.0.1:{self.port}",
            "RTB_SEED_COUNT": "0",
            "RTB_EPOCH": str(EPOCH),
            "RTB_DRAIN_TIMEOUT": "0.1",
            "RTB_WORKLOADS": "default=command:"
            + shlex.join([sys.executable, "-I", "-S", str(errand.__file__), str(self.executions)]),
            **self.settings,
        }
        service: Any = getattr(build, kind)(Settings.load({}, environ), self.reactor)
        service.privilegedStartService()
        service.startService()
        self.services.append(service)

    async def all(self) -> None:
        for kind in ("api", "leader", "agent"):
            await self.start(kind)
        await self.until(lambda: self.sql("SELECT 1 FROM boxes WHERE slots > 0"))

    async def place(self, seconds: float) -> None:
        payload = {"seconds": seconds, "end": "success"}
        await self.client.place({"units": [{"payload": payload}]})
        await self.client.go()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        db = self.database
        connection = psycopg2.connect(
            host=db.host, port=db.port, user=db.user, password=db.password, dbname=db.name
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.errors.UndefinedTable:
            return []
        finally:
            connection.close()

    def lines(self, word: str) -> Counter[tuple[str, ...]]:
        rows = [line.split() for line in self.executions.read_text().splitlines()]
        return Counter(tuple(row[:2]) for row in rows if row[3] == word)

    async def until(self, what: Callable[[], object], limit: float = 15.0) -> None:
        end = self.reactor.seconds() + limit
        while not what():
            assert self.reactor.seconds() < end, "it never came"
            await self.pause(0.05)

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self.reactor, seconds, lambda: None)

    def outsider(self) -> BrokerClient:
        client = BrokerClient(
            self.reactor, self.broker, name="outsider", random=lambda: 0.5, topology=shared()
        )
        client.startService()
        return client

    async def end(self) -> None:
        for proxy in self.proxies.values():
            proxy.mend()
        for service in reversed(self.services):
            await service.stopService()
        await self.client.close()
        for proxy in self.proxies.values():
            await proxy.stop()


@pytest.fixture
def stand(reactor: Any, database: Database, vhost: Broker, tmp_path: Path) -> Iterator[Stand]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stand = Stand(reactor, database, vhost, tmp_path)
    yield stand
    blockon(Deferred.fromCoroutine(stand.end()))
    for number, handler in handlers.items():
        signal.signal(number, handler)


# ---- scenarios: each raises AssertionError where the build is bad


async def books_with_a_unit(stand: Stand, units: int = 1) -> tuple[Books, str]:
    await migrate(stand.reactor, stand.database)
    books = Books(stand.reactor, stand.database, key=1, random=Random(1).random)
    first = Report(
        ledger="x", box="outbox", leader="l", number=1, capacity=50, queued=0, utilization=0.0,
        slots=1, busy=0, workloads=["default"], units=[],
    )  # fmt: skip
    await books.adopt(first)
    await books.report(first)
    stand.sql("INSERT INTO accounts (name) VALUES ('a')")
    stand.sql("INSERT INTO orders (account_id, workload) VALUES (1, 'default')")
    stand.sql("INSERT INTO units (order_id, name) VALUES (1, 'u')")
    await books.set_going(True)
    await books.claim("outbox", 1)
    ((ledger,),) = stand.sql("SELECT ledger_id FROM gate")
    return books, ledger


def said(attempt: int, kind: Kind) -> Move:
    return Move(1, attempt, kind=kind, result="1", told=[Told(kind, "a")])


async def late_result(stand: Stand) -> None:
    """The result of an attempt that was given up comes while the next one is open."""
    books, ledger = await books_with_a_unit(stand)
    try:
        await books.apply(ledger, [Move.giving_up((1, 1), Kind.RESCUED, "")])
        await books.claim("outbox", 1)
        await books.apply(ledger, [said(1, Kind.SUCCESS)])
        assert stand.sql("SELECT status::text, active FROM units") == [("sent", 2)]
    finally:
        books.close()


async def late_start(stand: Stand) -> None:
    """Word that a given-up attempt has started comes before the next claim."""
    books, ledger = await books_with_a_unit(stand)
    try:
        await books.apply(ledger, [Move.giving_up((1, 1), Kind.RESCUED, "")])
        (verdict,) = await books.apply(ledger, [said(1, Kind.PROCESSING)])
        assert verdict.applied is None
        assert stand.sql("SELECT status::text, active FROM units") == [("waiting", None)]
    finally:
        books.close()


async def raced_sweep(stand: Stand) -> None:
    """What was looked up to be rescued has come back, and was claimed again, meanwhile."""
    books, ledger = await books_with_a_unit(stand)
    try:
        forsaken = Move.giving_up((1, 1), Kind.RESCUED, "")
        await books.apply(ledger, [said(1, Kind.RETURNED)])
        await books.claim("outbox", 1)
        await books.apply(ledger, [forsaken])
        assert stand.sql("SELECT status::text, active FROM units") == [("sent", 2)]
    finally:
        books.close()


async def silent_api(stand: Stand) -> None:
    """An API that hears nothing for ten epochs gives no running unit up."""
    await stand.all()
    await stand.place(8.0)
    await stand.until(lambda: stand.lines("start"))
    await stand.pause(4 * EPOCH)
    stand.proxies["api"].silence()
    await stand.pause(10 * EPOCH)
    rescued = stand.sql("SELECT 1 FROM events WHERE kind = 'rescued'")
    stand.proxies["api"].mend()
    assert rescued == []


async def lost_agent(stand: Stand) -> None:
    """A unit whose agent is never heard again is given up, while its leader lives."""
    await stand.all()
    await stand.place(60.0)
    await stand.until(lambda: stand.lines("start"))
    stand.proxies["agent"].silence()
    await stand.until(lambda: stand.sql("SELECT 1 FROM events WHERE kind = 'rescued'"))


async def lost_confirm(stand: Stand) -> None:
    """A box message arrives, its confirm does not, and its unit runs before anybody knows."""
    await stand.all()
    stand.proxies["api"].mute()
    await stand.place(0.0)
    await stand.until(lambda: stand.lines("end"))
    await stand.pause(2 * EPOCH)
    stand.proxies["api"].drop()
    stand.proxies["api"].mend()
    await stand.until(lambda: stand.sql("SELECT 1 FROM units WHERE status = 'success'"))
    await stand.pause(10 * EPOCH)
    assert max(stand.lines("start").values()) == 1


async def redelivered(stand: Stand) -> None:
    """A leader hands a unit out and is gone before it has acked the box message.

    Its agent runs it and is heard no more; the next leader has another agent.
    """
    stand.settings["RTB_EPOCH"] = "5"  # nobody is to give it up meanwhile
    await stand.start("api")
    await stand.start("agent")
    await stand.until(lambda: stand.sql("SELECT 1 FROM gate"))
    ((ledger,),) = stand.sql("SELECT ledger_id FROM gate")
    first, leader = stand.outsider(), "f" * 24
    got: dict[str, Any] = {}

    async def lead(session: Any) -> None:
        await session.declare(*box_of("outbox"))
        await session.consume(track("outbox"), lambda d: got.update(track=d), prefetch=9)
        await session.consume("outbox", lambda d: got.update(out=d), prefetch=9)

    first.on_session(lead)
    await first.when_ready()

    async def send(key: str, message: Any) -> None:
        body = encode(message)
        await first.publish(Outgoing(key, body, message_id="x", persistent=True, mandatory=False))

    await stand.until(lambda: "track" in got)
    agent = decode("track.outbox", got["track"].body).agent  # type: ignore[union-attr]
    words: dict[str, Any] = {"ledger": ledger, "box": "outbox", "leader": leader}
    await send("roll.outbox", Roll(**words, call=True))
    state: dict[str, Any] = {"capacity": 5, "queued": 0, "utilization": 0.0, "slots": 8, "busy": 0}
    report = Report(**words, **state, number=1, workloads=["default"], units=[])
    await send("status.queued", report)
    await stand.place(1.0)
    await stand.until(lambda: "out" in got)
    units = decode("out.outbox", got["out"].body).units  # type: ignore[union-attr]
    await send(f"work.{agent}", Work(**words, number=1, give=units))  # type: ignore[arg-type]
    await stand.until(lambda: stand.lines("start"))
    stand.proxies["lost agent"] = stand.proxies["agent"]
    stand.proxies["lost agent"].silence()
    await stand.until(lambda: stand.lines("end"))
    await first.stopService()
    await stand.start("agent")
    await stand.start("leader")
    await stand.until(lambda: stand.sql(f"SELECT 1 FROM boxes WHERE leader <> '{leader}'"))
    for _ in range(80):
        assert max(stand.lines("start").values()) == 1
        await stand.pause(0.1)


async def flood(stand: Stand) -> None:
    """More units than N come to a leader: it takes N of them."""
    stand.settings["RTB_BROADCAST_MAX_QUEUE"] = "2"
    await stand.start("leader")
    outsider = stand.outsider()
    reports: list[Any] = []

    async def listen(session: Any) -> None:
        await session.declare(*private("reports", "status.queued"))
        await session.consume("reports", lambda d: reports.append(decode("status.queued", d.body)),
                              prefetch=99)  # fmt: skip

    outsider.on_session(listen)
    await outsider.when_ready()
    await stand.pause(2.0)  # the lock is taken, the queues are there

    async def send(key: str, message: Any) -> None:
        body = encode(message)
        await outsider.publish(Outgoing(key, body, message_id="x", persistent=True, mandatory=True))

    control = Control(ledger="l", box="outbox", leader="x", going=True, backlog={}, weights={},
                      closed=[], draining=[])  # fmt: skip
    await send("control.outbox", control)
    null: Any = b"null"
    import msgspec

    units = [
        Unit(number, 1, "a", 1.0, 0, "default", None, 1, "u", msgspec.Raw(null))
        for number in range(1, 8)
    ]
    await send("out.outbox", Out(ledger="l", box="outbox", units=units))
    await stand.until(lambda: any(report.units for report in reports))
    await stand.pause(1.0)
    await outsider.stopService()
    assert max(report.queued for report in reports) <= 2


# ---- mutants


def _sql(name: str, *changes: tuple[str, str]) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        text = str(QUERIES[name])
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        monkeypatch.setitem(QUERIES, name, Query(text, name))

    return patch


def _time_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick(self: Epochs) -> None:
        books = self._lineage._books
        ledger, epoch = await books.epoch()
        await books.end_epoch(ledger, epoch)
        for of, key, why in await books.forsaken():
            await books.apply(of, [Move.giving_up(key, Kind.RESCUED, why)])

    monkeypatch.setattr(Epochs, "_tick", tick)


def _by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    conclude = Applier._conclude

    async def concluding(self: Applier, message: Any) -> None:
        await self._books._flushes.run("UPDATE flights SET seen = epoch FROM epochs")
        await conclude(self, message)

    monkeypatch.setattr(Applier, "_conclude", concluding)


def _republish(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsent(self: Dispatcher, failure: Any, ledger: str, units: list[Unit]) -> Any:
        message = Out(ledger=ledger, box="outbox", units=units)
        return self._client.publish_surely(self._post.out(message))

    monkeypatch.setattr(Dispatcher, "_unsent", unsent)


def _run_redelivered(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = Reign._arrived

    def arriving(self: Reign, delivery: Any) -> None:
        object.__setattr__(delivery, "redelivered", False)
        arrived(self, delivery)

    monkeypatch.setattr(Reign, "_arrived", arriving)


def _no_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tracker, "room", 10**6)


_OPEN = "l.active = m.attempt"
#: By name: what is broken, and the scenario that catches it.
MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Any]] = {
    "no attempt is compared": (_sql("apply", (_OPEN, "true")), late_result),
    # The lifecycle's own guard stops this one as well: the mutant goes without both.
    "the attempt is compared, open or not": (
        _sql(
            "apply",
            (_OPEN, "l.attempt = m.attempt"),
            ("c.status = j.former", "c.status = CASE j.former WHEN 'waiting' THEN 'sent' "
             "ELSE j.former END"),
        ),
        late_start,
    ),
    "an unguarded sweep": (
        _sql("apply", (_OPEN, "(l.active = m.attempt OR m.kind = 'rescued')")),
        raced_sweep,
    ),
    "a sweep by the clock": (_time_sweep, silent_api),
    "a heartbeat by name": (_by_name, lost_agent),
    "an attempt is published again": (_republish, lost_confirm),
    "redelivered units are run": (_run_redelivered, redelivered),
    "no cap": (_no_cap, flood),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
@pytest_twisted.ensureDeferred
async def test_the_real_build(name: str, stand: Stand) -> None:
    await MUTANTS[name][1](stand)


@pytest.mark.parametrize("name", MUTANTS)
@pytest_twisted.ensureDeferred
async def test_a_mutant_is_caught(
    name: str, stand: Stand, monkeypatch: pytest.MonkeyPatch, errors_fail: Any
) -> None:
    patch, scenario = MUTANTS[name]
    patch(monkeypatch)
    # The ledger refuses some of what they do by itself.
    with pytest.raises((AssertionError, RtbError)):
        await scenario(stand)
    errors_fail.consume()
