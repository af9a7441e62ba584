"""What the tests of the ledger often do."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

import psycopg2
from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults

from rtb.ledger import Books, Verdict
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.orders import NewOrder, NewUnit
from rtb.model.wire import AgentState, Presence, Report, Unit, UnitKey
from rtb.settings import Database

_WRONG_COUNTS = (Path(__file__).parent / "wrong_counts.sql").read_text()


def connect(database: Database) -> Any:
    """Return a blocking connection of an outsider."""
    connection = psycopg2.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        dbname=database.name,
    )
    connection.autocommit = True
    return connection


def together(*work: Coroutine[Any, Any, Any]) -> Deferred[list[Any]]:
    """Run coroutines at the same time; return what each comes to."""
    return gatherResults([Deferred.fromCoroutine(one) for one in work], consumeErrors=True)


@frozen
class Ledger:
    """A ledger that is set up, as its API and as an outsider see it."""

    database: Database
    connection: Any

    @property
    def id(self) -> str:
        """The ledger's own id."""
        return str(self.one("SELECT ledger_id FROM gate"))

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of *statement*."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def one(self, statement: str, *values: Any) -> Any:
        """Return the only value of the only row of *statement*."""
        ((value,),) = self.sql(statement, *values)
        return value

    def wrong_counts(self) -> list[tuple[Any, ...]]:
        """Return every count that differs from a recount."""
        return self.sql(_WRONG_COUNTS)

    def statuses(self, *units: int) -> list[str]:
        """Return the statuses of *units*."""
        return [self.one("SELECT status FROM units WHERE id = %s", unit) for unit in units]

    def kinds(self, unit: int) -> list[str]:
        """Return the history of *unit*."""
        rows = self.sql("SELECT kind FROM history WHERE unit_id = %s ORDER BY id", unit)
        return [kind for (kind,) in rows]


def order(units: int = 1, account: str = "ada", workload: str = "w", priority: int = 0) -> NewOrder:
    """Return an order to place."""
    new = [NewUnit() for _ in range(units)]
    return NewOrder(account=account, workload=workload, priority=priority, units=new)


def report(
    box: str = "outbox",
    leader: str = "l1",
    *,
    capacity: int = 50,
    workloads: Iterable[str] = ("w",),
    units: Iterable[UnitKey] = (),
    **values: Any,
) -> Report:
    """Return a leader's report."""
    return Report(
        **{
            "ledger": "",
            "box": box,
            "leader": leader,
            "number": 1,
            "capacity": capacity,
            "queued": 3,
            "utilization": 0.5,
            "slots": 8,
            "busy": 2,
            "workloads": list(workloads),
            "units": list(units),
            **values,
        }
    )


def agent(name: str, **values: Any) -> AgentState:
    """Return an agent of a report."""
    return AgentState(
        **{
            "agent": name,
            "name": f"the {name}",
            "host": "h",
            "presence": Presence.READY,
            "slots": 4,
            "busy": 1,
            "workloads": ["w"],
            "silent": 0.5,
            **values,
        }
    )


async def lead(books: Books, box: str = "outbox", **values: Any) -> None:
    """Let *box* begin: its leader reports, and is booked."""
    first = report(box, values.pop("leader", "l1"), **values)
    await books.adopt(first)
    assert await books.report(first)


def move(key: UnitKey, kind: Kind | None, **values: Any) -> Move:
    """Return what was said of *key*."""
    return Move(*key, **{"kind": kind, "who": "a1", **values})


def vouching(key: UnitKey, leader: str = "l1") -> Move:
    """Return the move of a report that names *key*."""
    return Move(*key, Kind.QUEUED, True, leader, "outbox")


async def open_attempts(books: Books, units: int, box: str = "outbox") -> list[Unit]:
    """Place units, let claims go on, and claim them all for *box*."""
    if await books.box_state(box) is None:
        await lead(books, box, capacity=1000)
    await books.place(order(units))
    await books.set_going(True)
    return (await books.claim(box, units)).units


async def say(books: Books, ledger: Ledger, key: UnitKey, kind: Kind, **values: Any) -> Verdict:
    """Apply one event."""
    (verdict,) = await apply(books, ledger.id, move(key, kind, **values))
    return verdict


async def apply(books: Books, ledger: str, *moves: Move) -> list[Verdict]:
    """Apply *moves*; return a verdict on each, also where it went as it was said."""
    odd = {verdict.key: verdict for verdict in await books.apply(ledger, moves)}
    keys = [(move.unit, move.attempt) for move in moves]
    return [
        odd.get(key, Verdict(key, move.kind, True, True, False))
        for key, move in zip(keys, moves, strict=True)
    ]
