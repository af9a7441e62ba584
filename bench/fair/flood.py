"""One account floods, fifty newcomers come: who is served when, counted in completions."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from fair.line import Line, flood

FLOOD = 100_000
NEWCOMERS = 50
EACH = 10
SLOTS = 8
_NEWCOMERS = """
WITH came AS (
    INSERT INTO accounts (name) SELECT format('new-%%s', i) FROM generate_series(1, %s) i
    RETURNING id
), placed AS (
    INSERT INTO orders (account_id, workload) SELECT id, 'default' FROM came RETURNING id
), filled AS (
    INSERT INTO units (order_id, name)
    SELECT placed.id, 'u' || i FROM placed, generate_series(1, %s) i
)
SELECT max(id) * 4 + 3 FROM events"""


def jain(values: list[float]) -> float:
    """Return Jain's index: 1 when all are equal, 1/n when one has everything."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


async def measure(line: Line) -> dict[str, Any]:
    """Return Jain's index, the worst first start, and the starts of each account over time."""
    await line.client.go()
    await flood(line, FLOOD)
    await line.until(lambda status: status.units.success > 200)
    # All in one statement, so that they come at one moment, however slow the machine is.
    ((arrival,),) = line.sql(_NEWCOMERS, NEWCOMERS, EACH)
    done = "SELECT count(*) FROM orders WHERE finished_at IS NOT NULL"
    while line.sql(done)[0][0] < NEWCOMERS:
        await line.sleep(0.2)
    rows = line.sql(
        "SELECT e.id, e.kind::text, a.name FROM history e JOIN units u ON u.id = e.unit_id "
        "JOIN orders o ON o.id = u.order_id JOIN accounts a ON a.id = o.account_id "
        "WHERE e.id > %s AND e.kind IN ('processing', 'success', 'error') ORDER BY e.id",
        arrival,
    )
    return judge(rows)


def judge(rows: list[tuple[int, str, str]]) -> dict[str, Any]:
    """Return what the history since the newcomers' arrival shows."""
    ends = [id_ for id_, kind, _ in rows if kind != "processing"]
    first: dict[str, int] = {}
    served = 0
    done: dict[str, list[int]] = {}
    for id_, kind, account in rows:
        if kind == "processing":
            if account not in first:
                first[account], served = bisect_left(ends, id_), id_
        else:
            done.setdefault(account, []).append(id_)
    waited = sorted(count for account, count in first.items() if account != "flood")
    # While all are served and have work: from the last one's first start (the flood's units that
    # were under way before have ended by then) until one has had all of its own.
    end = min(ids[EACH - 1] for account, ids in done.items() if account != "flood")
    got = [float(sum(served < id_ <= end for id_ in ids)) for ids in done.values()]
    return {
        "jain": round(jain(got), 4),
        "worst_first_start_ratio": round((waited[-1] - SLOTS) / NEWCOMERS, 3),
        "accounts": len(got),
        "got": got,
        "first_starts": waited,
    }
