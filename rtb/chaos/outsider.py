"""Reads the ledger and the queues as anybody could who has a password: by SQL and by AMQP.

Everything here blocks, and is called in a thread.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pika
import psycopg2
from pika.exceptions import ChannelClosedByBroker

from rtb.addresses import Broker, Database
from rtb.chaos.evidence import Event, Unit
from rtb.chaos.rubbish import Bad

__all__ = ["Letter", "Outsider"]

_COUNTED = """
WITH there AS (
    SELECT 'total' AS kind, 0::bigint AS id, status, count(*) AS n FROM units GROUP BY status
    UNION ALL
    SELECT 'order', order_id, status, count(*) FROM units GROUP BY order_id, status
    UNION ALL
    SELECT 'account', o.account_id, u.status, count(*)
      FROM units u JOIN orders o ON o.id = u.order_id GROUP BY o.account_id, u.status
    UNION ALL
    SELECT 'box', box_id, status, count(*) FROM units WHERE box_id IS NOT NULL
     GROUP BY box_id, status
), gone AS (
    SELECT p.order_id, o.account_id, s.status::unit_status, s.n
      FROM pruned p JOIN orders o ON o.id = p.order_id, LATERAL (VALUES
          ('success', p.success), ('error', p.error), ('cancelled', p.cancelled)) AS s (status, n)
     WHERE s.n <> 0
), counted AS (
    SELECT kind, id, status, sum(n) AS n
      FROM (SELECT * FROM there
            UNION ALL SELECT 'total', 0, status, n FROM gone
            UNION ALL SELECT 'order', order_id, status, n FROM gone
            UNION ALL SELECT 'account', account_id, status, n FROM gone) every_one
     GROUP BY kind, id, status
), kept AS (
    SELECT c.kind::text, c.id, s.status::unit_status, s.n
      FROM counters c, LATERAL (VALUES
          ('waiting', c.waiting), ('sent', c.sent), ('queued', c.queued),
          ('processing', c.processing), ('success', c.success), ('error', c.error),
          ('cancelled', c.cancelled)) AS s (status, n)
     WHERE s.n <> 0
)
SELECT coalesce(a.kind, b.kind), coalesce(a.id, b.id), coalesce(a.status, b.status)::text,
       coalesce(b.n, 0), coalesce(a.n, 0)
  FROM counted a FULL JOIN kept b USING (kind, id, status)
 WHERE a.n IS DISTINCT FROM b.n
"""
_UNITS = """
SELECT u.id, o.name, u.name, u.status::text, u.attempt, u.active, u.round, u.losses,
       u.result::text
  FROM units u JOIN orders o ON o.id = u.order_id ORDER BY u.id
"""
_EVENTS = "SELECT id, unit_id, round, attempt, kind::text, who FROM history ORDER BY id"

#: Routing key, body, and why it is dead.
Letter = tuple[str, bytes, str]


def _unit(row: tuple[Any, ...]) -> Unit:
    said = json.loads(row[-1]) if row[-1] else None
    attempt = said.get("attempt") if isinstance(said, dict) else None
    number, order, name, status, last, active, round_, losses, _ = row
    return Unit(number, order, name, status, last, active, round_, losses, attempt)


class Outsider:
    """Somebody with the passwords of both servers, past all proxies."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of *statement*."""
        database = self._database
        connection = psycopg2.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            dbname=database.name,
            sslmode=database.sslmode,
            connect_timeout=5,
            options="-c statement_timeout=10000",
        )
        with closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def is_empty(self) -> bool:
        """Is there no ledger with orders in it?"""
        ((there,),) = self.sql("SELECT to_regclass('public.orders') IS NOT NULL")
        return not there or self.sql("SELECT count(*) FROM orders") == [(0,)]

    def miscounts(self) -> list[str]:
        """Return each counter that does not equal its count, in one snapshot."""
        return [
            f"{kind} {number}: {kept} {status} kept, {counted} counted"
            for kind, number, status, kept, counted in self.sql(_COUNTED)
        ]

    def units(self) -> list[Unit]:
        """Return all units."""
        return [_unit(row) for row in self.sql(_UNITS)]

    def events(self) -> list[Event]:
        """Return the whole history."""
        return [Event(*row) for row in self.sql(_EVENTS)]

    def flights(self) -> int:
        """Return how many attempts are open."""
        ((count,),) = self.sql("SELECT count(*) FROM flights")
        return int(count)

    def ledger_id(self) -> str:
        """Return the ledger's id."""
        ((ledger,),) = self.sql("SELECT ledger_id FROM gate")
        return str(ledger)

    def waiting(self, queues: Sequence[str]) -> dict[str, list[str]]:
        """Return the keys of the messages that wait in each of *queues*, and leave them there.

        A queue that is not there has none.
        """
        found: dict[str, list[str]] = {queue: [] for queue in queues}
        with closing(self._connect()) as connection:
            for queue in queues:
                channel = connection.channel()
                try:
                    while (method := channel.basic_get(queue)[0]) is not None:
                        found[queue].append(method.routing_key)
                except ChannelClosedByBroker:
                    continue
                channel.close()
        return found

    def publish(self, messages: Sequence[Bad]) -> None:
        """Publish *messages* where rtb does."""
        with closing(self._connect()) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for number, bad in enumerate(messages):
                properties = pika.BasicProperties(
                    content_type=bad.content_type,
                    delivery_mode=2,
                    headers=dict(bad.headers),
                    message_id=f"outsider:{number}",
                )
                channel.basic_publish("rtb", bad.key, bad.body, properties, mandatory=True)

    def take_dead(self) -> list[Letter]:
        """Return the dead letters, and remove them."""
        letters: list[Letter] = []
        with closing(self._connect()) as connection:
            channel = connection.channel()
            while True:
                method, properties, body = channel.basic_get("dead", auto_ack=True)
                if method is None or properties is None:
                    return letters
                headers = properties.headers or {}
                letters.append((headers["x-rtb-key"], body or b"", headers["x-rtb-reason"]))

    def _connect(self) -> Any:
        broker = self._broker
        return pika.BlockingConnection(
            pika.ConnectionParameters(
                broker.host,
                broker.port,
                broker.vhost,
                pika.PlainCredentials(broker.user, broker.password),
                socket_timeout=5,
                blocked_connection_timeout=10,
            )
        )
