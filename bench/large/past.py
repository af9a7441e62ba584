"""What settled units, an old transaction and a prune leave behind."""

from __future__ import annotations

from typing import Any

import psycopg2
from fair.line import shown
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from large.books import Driven
from rtb.ledger import Gone, Pruning

_TABLES = ("units", "flights", "events", "counters", "shares", "orders", "gate")
_BATCH = 50
_SIZES = """
SELECT relname, n_tup_upd, n_tup_hot_upd, n_live_tup, n_dead_tup, autovacuum_count,
       pg_table_size(relid), pg_indexes_size(relid)
  FROM pg_stat_user_tables WHERE relname = ANY (%s)
"""


async def held(driven: Driven, url: str, seconds: float) -> dict[str, Any]:
    """Claim for a while, then go on while somebody keeps a transaction open all the time."""
    await driven.go_on(_BATCH, 10.0)
    driven.taken()
    await driven.go_on(_BATCH, 10.0)
    before = driven.taken()
    shown(before=before)
    holder = await deferToThread(_hold, url)
    course = []
    try:
        for _ in range(int(seconds / 10)):
            settled = driven.settled
            await driven.go_on(_BATCH, 10.0)
            course.append({**driven.taken(), "units_s": (driven.settled - settled) / 10})
            shown(held=course[-1])
    finally:
        holder.close()
    after = []
    for _ in range(2):
        await driven.go_on(_BATCH, 10.0)
        after.append(driven.taken())
        shown(after=after[-1])
    return {
        "before": before,
        "course": course,
        "after": after,
        "claims_slower": round(course[-1]["claim_ms"] / before["claim_ms"], 2),
        "flushes_slower": round(course[-1]["apply_ms"] / before["apply_ms"], 2),
    }


def _hold(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.set_session(isolation_level="REPEATABLE READ")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM gate")
    return connection


async def settled(driven: Driven, url: str, units: int) -> dict[str, Any]:
    """Settle *units* and say how large the tables are then, and how they got there."""
    pieces = []
    for _ in range(5):
        goal = driven.settled + units // 5
        while driven.settled < goal and await driven.batch(1000):
            pass
        pieces.append(driven.taken())
        shown(settled=driven.settled, **pieces[-1])
    return {"units": driven.settled, "course": pieces, "tables": await deferToThread(tables, url)}


async def pruned(reactor: Any, database: Any, driven: Driven, seconds: float) -> dict[str, Any]:
    """Prune all that has settled while claims go on; say what either costs the other."""
    await driven.go_on(_BATCH, 5.0)
    driven.taken()
    await driven.go_on(_BATCH, 10.0)
    before = driven.taken()
    pruning = Pruning(reactor, database)
    steps: list[float] = []
    ended: list[bool] = []
    last = began = reactor.seconds()

    def told(gone: Gone) -> None:
        nonlocal last
        now = reactor.seconds()
        steps.append(now - last)
        last = now

    async def prune() -> Gone:
        try:
            return await pruning.prune(
                0.0, go_on=lambda: reactor.seconds() - began < seconds, told=told
            )
        finally:
            ended.append(True)

    try:
        gone, _ = await gatherResults(
            [
                Deferred.fromCoroutine(prune()),
                Deferred.fromCoroutine(driven.go_on(_BATCH, seconds, lambda: not ended)),
            ]
        )
    finally:
        pruning.close()
    during = driven.taken()
    return {
        "before": before,
        "during": during,
        "units_s": round(gone.units / (last - began)),
        "events_s": round(gone.events / (last - began)),
        "longest_step_s": round(max(steps), 3),
    }


def tables(url: str) -> dict[str, dict[str, Any]]:
    """Return how each hot table fares: HOT share of its updates, dead rows, sizes in MB."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute(_SIZES, (list(_TABLES),))
            return {
                name: {
                    "updates": updates,
                    "hot": round(hot / updates, 3) if updates else None,
                    "live": live,
                    "dead": dead,
                    "autovacuums": vacuums,
                    "table_mb": round(table / 2**20, 1),
                    "index_mb": round(index / 2**20, 1),
                }
                for name, updates, hot, live, dead, vacuums, table, index in cursor.fetchall()
            }
    finally:
        connection.close()
