"""``rtb prune`` on a real ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from rtb.ledger.migrations import migrate
from rtb.settings import Database

RTB = Path(sys.executable).with_name("rtb")
_SETTLED = """
INSERT INTO accounts (name) VALUES ('ann');
INSERT INTO orders (account_id, workload) SELECT 1, 'w' FROM generate_series(1, 3);
INSERT INTO units (order_id, name, status, ready)
SELECT o, 'u' || i, 'success', false FROM generate_series(1, 3) o, generate_series(1, 2000) i;
INSERT INTO events (unit_id, round, attempt, kind) SELECT id, 1, 1, 'success' FROM units;
UPDATE orders SET finished_at = now() - interval '10 days' WHERE id < 3;
UPDATE orders SET finished_at = now() - interval '1 day' WHERE id = 3;
"""
_LEFT = "SELECT (SELECT count(*) FROM units), (SELECT count(*) FROM events)"


def url_of(database: Database) -> str:
    return (
        f"postgresql://{database.user}:{database.password}@{database.host}:{database.port}"
        f"/{database.name}"
    )


def rtb(database: Database, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTB_")}
    return subprocess.run(
        [RTB, "prune", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**clean, "RTB_DATABASE_URL": url_of(database)},
        timeout=60,
    )


def sql(database: Database, statement: str) -> Any:
    connection = psycopg2.connect(url_of(database))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


@pytest.fixture
def asked() -> list[str]:
    return ["--older-than", "7d"]


@ensureDeferred
async def test_prune_counts_first_asks_and_says_what_went(
    reactor: Any, database: Database, asked: list[str]
) -> None:
    await migrate(reactor, database)
    sql(database, _SETTLED)
    dry = await deferToThread(rtb, database, *asked, "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "4000 units of 2 orders, with their history\n")
    no = await deferToThread(rtb, database, *asked, stdin="n\n")
    nobody = await deferToThread(rtb, database, *asked)
    assert (no.returncode, nobody.returncode) == (1, 1)
    assert "nothing was deleted" in nobody.stderr
    assert sql(database, _LEFT) == [(6000, 6000)]

    yes = await deferToThread(rtb, database, *asked, "-y")

    assert yes.returncode == 0, yes.stderr
    assert yes.stdout.splitlines()[-1] == "pruned 4000 units and 4000 lines of history"
    assert sql(database, _LEFT) == [(2000, 2000)]
    again = await deferToThread(rtb, database, *asked, "-y")
    assert (again.returncode, again.stdout) == (0, "0 units of 0 orders, with their history\n")
