"""One account floods, fifty newcomers come: who is served when, counted in completions."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from fair.line import Line, flood

FLOOD = 100_000
NEWCOMERS = 50
EACH = 10
SLOTS = 8


def jain(values: list[float]) -> float:
    """Return Jain's index: 1 when all are equal, 1/n when one has everything."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


async def measure(line: Line) -> dict[str, Any]:
    """Return Jain's index, the worst first start, and the starts of each account over time."""
    await line.client.go()
    await flood(line, FLOOD)
    await line.until(lambda status: status.units.success > 200)
    ((began,),) = line.sql("SELECT max(id) FROM events")
    arrivals: dict[str, int] = {}
    several = DeferredSemaphore(4)

    async def come(account: str) -> None:
        ((arrivals[account],),) = line.sql("SELECT max(id) FROM events")
        names = "".join(f"u{number}\n" for number in range(EACH))
        await line.client.place_lines(names.encode(), query={"account": account})

    await gatherResults(
        [
            several.run(lambda name=f"new-{number:02}": Deferred.fromCoroutine(come(name)))
            for number in range(NEWCOMERS)
        ]
    )
    done = "SELECT count(*) FROM orders WHERE name = '' AND finished_at IS NOT NULL"
    while line.sql(done)[0][0] < NEWCOMERS:
        await line.sleep(0.2)
    rows = line.sql(
        "SELECT e.id, e.kind::text, a.name FROM events e JOIN units u ON u.id = e.unit_id "
        "JOIN orders o ON o.id = u.order_id JOIN accounts a ON a.id = o.account_id "
        "WHERE e.id > %s AND e.kind IN ('processing', 'success', 'error') ORDER BY e.id",
        began,
    )
    return judge(rows, arrivals)


def judge(rows: list[tuple[int, str, str]], arrivals: dict[str, int]) -> dict[str, Any]:
    """Return what the history since the first newcomer's arrival shows."""
    ends = [id_ for id_, kind, _ in rows if kind != "processing"]
    first: dict[str, int] = {}
    done: dict[str, list[int]] = {}
    for id_, kind, account in rows:
        if kind == "processing":
            first.setdefault(account, id_)
        else:
            done.setdefault(account, []).append(id_)
    waited = {
        account: bisect_left(ends, first[account]) - bisect_left(ends, arrival)
        for account, arrival in arrivals.items()
    }
    worst = max(
        (waited[account] - SLOTS)
        / sum(arrivals[other] <= first[account] and first[other] >= arrival for other in arrivals)
        for account, arrival in arrivals.items()
    )
    # While all of them have work: from the last one's arrival until one has had all of its own.
    begin = max(arrivals.values())
    end = min(done[account][EACH - 1] for account in arrivals)
    got = [float(sum(begin < id_ <= end for id_ in done[account])) for account in done]
    return {
        "jain": round(jain(got), 4),
        "worst_first_start_ratio": round(worst, 3),
        "accounts": len(got),
        "first_starts": sorted(waited.values()),
    }
