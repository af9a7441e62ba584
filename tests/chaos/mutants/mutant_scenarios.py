"""Directed scenarios: each raises AssertionError where the build is bad."""

from __future__ import annotations

from random import Random
from typing import Any

from mutant_stand import EPOCH, Stand
from twisted.internet.defer import Deferred

from rtb.broker import Outgoing, private
from rtb.broker.topology import box as box_of
from rtb.broker.topology import track
from rtb.ledger import Books
from rtb.ledger.migrations import migrate
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.wire import Control, Out, Report, Roll, Unit, Work, decode, encode


async def books_with_a_unit(stand: Stand, *, claimed: bool = True) -> tuple[Books, str]:
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
    if claimed:
        await books.claim("outbox", 1)
    ((ledger,),) = stand.sql("SELECT ledger_id FROM gate")
    return books, ledger


def said(attempt: int, kind: Kind) -> Move:
    return Move(1, attempt, kind=kind, result="1", who="a")


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


async def rival_claims(stand: Stand) -> None:
    """Two APIs claim for one box at a time; between their looks an order is let go that is first.

    Somebody holds the counter that a claim changes first: it has counted and picked, and waits.
    """
    books, _ = await books_with_a_unit(stand, claimed=False)
    rival = Books(stand.reactor, stand.database, key=2, random=Random(2).random)
    stand.sql("UPDATE boxes SET capacity = 1")
    stand.sql("INSERT INTO accounts (name, weight) VALUES ('b', 2)")
    stand.sql("INSERT INTO orders (account_id, workload, held_at) VALUES (2, 'default', now())")
    stand.sql("INSERT INTO units (order_id, name) VALUES (2, 'v')")
    holder = stand.connect()
    try:
        with holder.cursor() as cursor:
            cursor.execute("SELECT 1 FROM counters WHERE kind = 'total' FOR UPDATE")
        first = Deferred.fromCoroutine(books.claim("outbox", 9))
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        await stand.until(lambda: stand.sql(waiting) == [(1,)])
        # Not as rtb does it, which would wait for the gate.
        stand.sql("UPDATE orders SET held_at = NULL WHERE id = 2")
        second = Deferred.fromCoroutine(rival.claim("outbox", 9))
        await stand.until(lambda: second.called or stand.sql(waiting) == [(2,)])
        holder.rollback()
        await first
        await second
        assert stand.sql("SELECT count(*) FROM units WHERE status = 'sent'") == [(1,)]
    finally:
        holder.close()
        books.close()
        rival.close()
