"""The page of the schema, which is read off the migrations, against a real PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted

from rtb.ledger.migrations import migrate
from rtb.settings import Database

pytestmark = pytest.mark.xdist_group("book")


@pytest_twisted.ensureDeferred
async def test_the_schema_is_the_one_that_postgresql_has(
    book: Path, reactor: Any, database: Database
) -> None:
    await migrate(reactor, database)
    connection = psycopg2.connect(
        host=database.host, port=database.port, user=database.user,
        password=database.password, dbname=database.name,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT c.relname, array_agg(a.attname || ' '
                          || replace(format_type(a.atttypid, a.atttypmod),
                                     'timestamp with time zone', 'timestamptz')
                                      ORDER BY a.attnum)
                 FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
                  AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'migrations'
                GROUP BY c.relname"""
        )
        real = dict(cursor.fetchall())
    connection.close()
    page = (book / "reference" / "schema.html").read_text()
    shown: dict[str, list[str]] = {}
    for section in re.findall(r"<section id=.*?</section>", page, re.DOTALL):
        titles = re.findall(r"<h2>.*?<span class=\"pre\">(\w+)</span>", section)
        rows = re.findall(r"<tr class=.*?</tr>", section.partition("<tbody>")[2], re.DOTALL)
        cells = [re.sub(r"<[^>]+>", "", "\n".join(row.split("</td>")[:2])).split() for row in rows]
        for title in titles:
            shown[title] = [" ".join(cell) for cell in cells]
    assert shown == real
