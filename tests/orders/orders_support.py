"""Books without brokers: boxes that are only reports, and an outsider who counts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import psycopg2

from rtb.ledger import Books, Reads, Verbs
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.orders import NewOrder, NewUnit
from rtb.model.wire import Report, UnitKey
from rtb.settings import Database

#: Each finds nothing, or the books are wrong.
WRONG = {
    "order counters": """
        SELECT c.id FROM counters c JOIN orders o ON o.id = c.id
         WHERE c.kind = 'order' AND o.state <> 'discarded' AND
               ROW(c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled,
                   c.ready)
               IS DISTINCT FROM (
                   SELECT ROW(count(*) FILTER (WHERE status = 'waiting'),
                          count(*) FILTER (WHERE status = 'sent'),
                          count(*) FILTER (WHERE status = 'queued'),
                          count(*) FILTER (WHERE status = 'processing'),
                          count(*) FILTER (WHERE status = 'success'),
                          count(*) FILTER (WHERE status = 'error'),
                          count(*) FILTER (WHERE status = 'cancelled'),
                          count(*) FILTER (WHERE ready))
                     FROM units u WHERE u.order_id = c.id)""",
    "account counters": """
        SELECT c.id FROM counters c
         WHERE c.kind = 'account' AND
               ROW(c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled)
               IS DISTINCT FROM (
                   SELECT ROW(count(*) FILTER (WHERE u.status = 'waiting'),
                          count(*) FILTER (WHERE u.status = 'sent'),
                          count(*) FILTER (WHERE u.status = 'queued'),
                          count(*) FILTER (WHERE u.status = 'processing'),
                          count(*) FILTER (WHERE u.status = 'success'),
                          count(*) FILTER (WHERE u.status = 'error'),
                          count(*) FILTER (WHERE u.status = 'cancelled'))
                     FROM units u JOIN orders o ON o.id = u.order_id
                    WHERE o.account_id = c.id AND o.state IN ('open', 'cancelling'))""",
    "total": """
        SELECT c.id FROM counters c
         WHERE c.kind = 'total' AND
               ROW(c.waiting, c.sent, c.queued, c.processing, c.success, c.error, c.cancelled)
               IS DISTINCT FROM (
                   SELECT ROW(count(*) FILTER (WHERE u.status = 'waiting'),
                          count(*) FILTER (WHERE u.status = 'sent'),
                          count(*) FILTER (WHERE u.status = 'queued'),
                          count(*) FILTER (WHERE u.status = 'processing'),
                          count(*) FILTER (WHERE u.status = 'success'),
                          count(*) FILTER (WHERE u.status = 'error'),
                          count(*) FILTER (WHERE u.status = 'cancelled'))
                     FROM units u JOIN orders o ON o.id = u.order_id
                    WHERE o.state IN ('open', 'cancelling'))""",
    "box counters": """
        SELECT c.id FROM counters c
         WHERE c.kind = 'box' AND ROW(c.sent, c.queued, c.processing) IS DISTINCT FROM (
                   SELECT ROW(count(*) FILTER (WHERE status = 'sent'),
                          count(*) FILTER (WHERE status = 'queued'),
                          count(*) FILTER (WHERE status = 'processing'))
                     FROM units u WHERE u.box_id = c.id)""",
    "shares": """
        SELECT s.account_id, s.workload, s.ready, s.flying FROM shares s
         WHERE (s.ready, s.flying) IS DISTINCT FROM (
             (SELECT count(*) FROM units u JOIN orders o ON o.id = u.order_id
               WHERE o.account_id = s.account_id AND o.workload = s.workload AND u.ready
                 AND o.state = 'open' AND o.held_at IS NULL AND o.not_before IS NULL),
             (SELECT count(*) FROM units u JOIN orders o ON o.id = u.order_id
               WHERE o.account_id = s.account_id AND u.status IN ('sent', 'queued', 'processing')))
            OR s.weight <> (SELECT weight FROM accounts a WHERE a.id = s.account_id)""",
    "shares that are missing": """
        SELECT o.id FROM orders o JOIN units u ON u.order_id = o.id AND u.ready
         WHERE NOT o.barred AND NOT EXISTS (
             SELECT FROM shares s WHERE s.account_id = o.account_id AND s.workload = o.workload)""",
    "orders that are ready": """
        SELECT o.id FROM orders o
         WHERE o.ready <> (NOT o.barred AND EXISTS (
             SELECT FROM units u WHERE u.order_id = o.id AND u.ready))""",
    "orders that are finished": """
        SELECT o.id FROM orders o
         WHERE o.state IN ('open', 'cancelling')
           AND (o.finished_at IS NULL) <> EXISTS (
             SELECT FROM units u WHERE u.order_id = o.id
                AND u.status IN ('waiting', 'sent', 'queued', 'processing'))""",
    "lines": """
        SELECT o.id FROM orders o
         WHERE ARRAY(SELECT id FROM units WHERE order_id = o.id AND ready
                      ORDER BY priority DESC, id)
            <> ARRAY(SELECT l.id FROM rtb_line(o.id, o.reached, 1000000) l)""",
    "flights": """
        SELECT u.id FROM units u FULL JOIN flights f ON f.unit_id = u.id
         WHERE (u.active IS NOT NULL) IS DISTINCT FROM (f.unit_id IS NOT NULL)""",
}


class Ledger:
    """A ledger that has been opened."""

    def __init__(self, reactor: Any, database: Database, random: Random) -> None:
        self.reactor = reactor
        self.database = database
        self.books = Books(reactor, database, key=random.getrandbits(31), random=random.random)
        self.verbs = Verbs(reactor, database)
        self.reads = Reads(reactor, database)
        self.connection = psycopg2.connect(
            host=database.host, port=database.port, user=database.user,
            password=database.password, dbname=database.name,
        )  # fmt: skip
        self.connection.autocommit = True

    def close(self) -> None:
        for part in (self.books, self.verbs, self.reads, self.connection):
            part.close()

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def check(self) -> None:
        """C1: every counter is its count, in one snapshot; so is all that is kept beside them."""
        self.sql("BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            wrong = {name: found for name, query in WRONG.items() if (found := self.sql(query))}
        finally:
            self.sql("ROLLBACK")
        assert not wrong, wrong

    async def place(self, units: int | Sequence[str], **more: Any) -> int:
        names = [f"u{i}" for i in range(units)] if isinstance(units, int) else units
        placed = await self.books.place(NewOrder(units=[NewUnit(name) for name in names], **more))
        return int(placed["id"])

    async def box(self, name: str, capacity: int, *workloads: str) -> None:
        ledger, _ = await self.books.epoch()
        report = Report(
            ledger=ledger, box=name, leader=f"leader-{name}", number=1, capacity=capacity,
            queued=0, utilization=0.0, slots=8, busy=0, workloads=list(workloads or ["default"]),
            units=[],
        )  # fmt: skip
        await self.books.adopt(report)
        assert await self.books.report(report)

    async def say(self, kind: Kind, keys: Sequence[UnitKey]) -> list[Any]:
        ledger, _ = await self.books.epoch()
        result = msgspec.json.encode("done").decode() if kind is Kind.SUCCESS else None
        moves = [Move(*key, kind=kind, result=result, who="test", vouches=True) for key in keys]
        return await self.books.apply(ledger, moves)

    async def follow(self) -> list[tuple[str, UnitKey]]:
        """Let all that has to follow do so; return the attempts that were closed under way."""
        closed: list[tuple[str, UnitKey]] = []
        while errands := await self.verbs.errands():
            for errand, verb in errands:
                closed += (await self.verbs.follow(errand, verb)).closed
        return closed
