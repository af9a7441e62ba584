"""Picks and claims are timed over a real ledger, however small."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest_twisted
from fair import pick
from twisted.internet.threads import deferToThread

from rtb.ledger.lane import SESSION
from rtb.ledger.migrations import migrate
from rtb.ledger.queries import QUERIES
from rtb.sandbox import Sandbox
from rtb.settings import Database


def _timed(url: str) -> tuple[float, float, int]:
    connection = psycopg2.connect(url, options=SESSION)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            pick.fill(cursor, 400, 20)
            picked = pick.time_pick(cursor, rounds=2)
            claims = (QUERIES["lock_gate"], QUERIES["claim"])
            claimed = pick.time_claim(cursor, *claims, warm=1, rounds=2)
            cursor.execute("SELECT count(*) FROM units WHERE status = 'sent'")
            return picked, claimed, cursor.fetchone()[0]
    finally:
        connection.close()


@pytest_twisted.ensureDeferred
async def test_a_pick_and_a_claim_are_timed(reactor: Any, sandbox: Sandbox) -> None:
    postgres, name = sandbox.postgres, "bench_pick"
    await postgres.create_database(name)
    database = Database(
        host=postgres.host,
        port=postgres.port,
        user=postgres.user,
        password=postgres.password,
        name=name,
    )
    await migrate(reactor, database)
    try:
        picked, claimed, sent = await deferToThread(_timed, postgres.url_of(name))
    finally:
        await postgres.drop_database(name)
    assert 0 < picked < claimed
    assert sent == 3 * pick.PLACES
