"""Small orders are placed and claimed in one transaction, where nothing else is under way."""

from __future__ import annotations

import pytest_twisted
from line_support import Line, order

#: Orders by their size of which something was claimed at the very moment when they were placed.
_AT_ONCE = """
SELECT n, count(*) FROM (
    SELECT o.id, count(*) AS n, bool_or(h.at = o.created_at) AS at_once
      FROM orders o JOIN units u ON u.order_id = o.id
      JOIN history h ON h.unit_id = u.id AND h.kind = 'claimed'
     GROUP BY o.id) placed
 WHERE at_once GROUP BY n ORDER BY n
"""


@pytest_twisted.ensureDeferred
async def test_what_is_small_is_claimed_as_it_is_placed(line: Line) -> None:
    line.start("rtb-api")
    line.start("rtb-leader")
    line.start("rtb-agent")
    await line.until_led()
    await line.client.go()
    long = {"units": [{"payload": "x" * 60_000}] * 5}
    total = 0
    for _ in range(8):  # a report or an epoch may be booked at that moment
        for new, units in ((order(1), 1), (order(100), 100), (order(101), 101), (long, 5)):
            total += units
            await line.client.place(new)
            await line.until_settled(total)
    at_once = dict(line.sql(_AT_ONCE))
    assert at_once.keys() == {1, 100}
    assert line.sql("SELECT max(attempt), count(*) FROM units") == [(1, total)]
    line.check()
