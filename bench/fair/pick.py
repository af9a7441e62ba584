"""How long the pick takes, over few waiting units and over very many."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

#: Rows are made in SQL, without the triggers, and the counters from them: orders of 1,000 units
#: (or fewer), spread over the accounts.
_FILL = """
SET session_replication_role = replica;
INSERT INTO accounts (name, weight)
SELECT 'a' || i, 1 FROM generate_series(1, {accounts}) i;
INSERT INTO orders (account_id, name, workload)
SELECT 1 + i % {accounts}, 'o' || i, 'default' FROM generate_series(0, {orders} - 1) i;
DROP INDEX units_by_order;
ALTER TABLE units DROP CONSTRAINT units_order_id_name_key;
ALTER TABLE units DROP CONSTRAINT units_pkey;
INSERT INTO units (order_id, name)
SELECT 1 + i / {each}, 'u' || i FROM generate_series(0, {units} - 1) i;
ALTER TABLE units ADD PRIMARY KEY (id);
ALTER TABLE units ADD UNIQUE (order_id, name);
CREATE INDEX units_by_order ON units (order_id, id);
INSERT INTO counters (kind, id, waiting, ready)
SELECT 'order', o.id, {each}, {each} FROM orders o;
INSERT INTO counters (kind, id, waiting)
SELECT 'account', account_id, count(*) * {each} FROM orders GROUP BY account_id;
UPDATE counters SET waiting = {units} WHERE kind = 'total';
UPDATE orders SET ready = true;
INSERT INTO shares (account_id, workload, ready, weight, served)
SELECT account_id, 'default', count(*) * {each}, 1, account_id % 97 FROM orders
 GROUP BY account_id;
INSERT INTO boxes (name, leader, capacity, seen, manned, workloads)
VALUES ('outbox', 'bench', 50, 1000000, 1000000, '{{default}}');
UPDATE gate SET going = true;
SET session_replication_role = DEFAULT;
"""

#: D: how many places a pick fills.
PLACES = 50
PICK = f"SELECT * FROM rtb_pick({PLACES}, '{{default}}')"


def fill(cursor: Any, units: int, accounts: int, most: int = 1000) -> None:
    """Make *units* waiting units of *accounts* accounts, *most* in an order, and VACUUM."""
    each = max(1, min(most, units // accounts))
    cursor.execute("SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 2")
    cursor.execute(_FILL.format(units=units, accounts=accounts, each=each, orders=units // each))
    cursor.execute("VACUUM ANALYZE")
    cursor.execute("CHECKPOINT")  # or one would come while it is timed


def time_pick(cursor: Any, rounds: int = 300) -> float:
    """Return the milliseconds that the SELECT of 50 places takes, warm: the median."""

    def once() -> None:
        cursor.execute(PICK)
        assert len(cursor.fetchall()) == PLACES

    return _timed(once, rounds, warm=20)


def time_claim(cursor: Any, lock: Any, claim: Any, *, warm: int, rounds: int = 40) -> float:
    """Return the milliseconds that the whole claim of 50 takes, with its commit: the median.

    Warm is it when everybody has been served once: each claim goes to the next 50 accounts, and
    the first touch of a page after a checkpoint writes all of that page to the log.

    :param warm: how many claims go before
    """
    values = {"claim_box": "outbox", "claim_most": PLACES, "claim_api": 1}
    cursor.execute(lock.prepare + claim.prepare)

    def once() -> None:
        cursor.execute("BEGIN")
        cursor.execute(lock.execute, {"lock_gate_freeing": False, "lock_gate_placing": False})
        cursor.execute(claim.execute, values)
        assert len(cursor.fetchall()) == PLACES + 2  # and what is said of all of them
        cursor.execute("COMMIT")
        cursor.execute(
            "UPDATE boxes SET capacity = capacity + %s", (PLACES,)
        )  # room for the next one

    return _timed(once, rounds, warm)


def _timed(once: Callable[[], None], rounds: int, warm: int) -> float:
    for _ in range(warm):
        once()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
    return median(times) * 1000
