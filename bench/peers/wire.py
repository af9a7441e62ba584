"""A role of the wire, ``api``, ``leader`` or ``agent``: a unit's way, and little else.

A unit is placed over HTTP, as with rtb, and its row is written twice. In between go a message to a
leader, a report of the leader's that the broker confirms, a message to an agent, and the agent's to
the inbox. There is no attempt, history or count, nothing is fair, and whatever is lost stays lost.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pika
from client import connect

#: So that messages are about as long as those that rtb sends for a unit.
PADDING = "." * 150
_PERSISTENT = pika.BasicProperties(delivery_mode=2)

Message = dict[str, Any]


def channel() -> Any:
    """Return a channel of a connection of its own."""
    opened = pika.BlockingConnection(pika.URLParameters(os.environ["BENCH_AMQP"])).channel()
    for name in ("box", "work", "inbox"):
        opened.queue_declare(name, durable=True)
    return opened


def send(over: Any, queue: str, message: Message, properties: Any = None) -> None:
    """Send *message*; where *over* confirms, wait until it is."""
    over.basic_publish("", queue, json.dumps({**message, "padding": PADDING}).encode(), properties)


def consume(queue: str, received: Callable[[Message], None], ready: str = "ready") -> None:
    """Say *ready*; give *received* what comes from *queue*, for ever, and ack it then."""

    def came(over: Any, method: Any, _: Any, body: bytes) -> None:
        received(json.loads(body))
        over.basic_ack(method.delivery_tag)

    consuming = channel()
    consuming.basic_consume(queue, came)
    print(ready, flush=True)
    consuming.start_consuming()


def lead() -> None:
    """Report each unit, and give it to the agent when the report is confirmed."""
    reports, works = channel(), channel()
    reports.confirm_delivery()

    def received(message: Message) -> None:
        send(reports, "inbox", {"kind": "queued", "id": message["id"]})
        send(works, "work", {"id": message["id"]})

    consume("box", received)


def run() -> None:
    """Say of each unit that it is done."""
    news = channel()

    def received(message: Message) -> None:
        send(news, "inbox", {"kind": "success", "id": message["id"]}, _PERSISTENT)

    consume("work", received)


class Orders(BaseHTTPRequestHandler):
    """Takes orders of one unit."""

    protocol_version = "HTTP/1.1"
    ids = itertools.count(1)
    rows: Any
    boxes: Any

    def do_POST(self) -> None:
        """Commit it, send it to the leader, and answer."""
        json.loads(self.rfile.read(int(self.headers["content-length"])))
        order = next(self.ids)
        self.rows.execute("EXECUTE place (%s)", (order,))
        send(self.boxes, "box", {"id": order}, _PERSISTENT)
        body = json.dumps({"id": order}).encode()
        head = f"HTTP/1.1 201 Created\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


def take_orders() -> None:
    """Take orders, and commit what became of them; say the port."""
    rows = Orders.rows = connect().cursor()
    Orders.boxes = channel()
    rows.execute("CREATE TABLE units (order_id bigint PRIMARY KEY, status text NOT NULL)")
    rows.execute("PREPARE place AS INSERT INTO units VALUES ($1, 'sent')")
    server = HTTPServer(("127.0.0.1", 0), Orders)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    books = connect().cursor()
    books.execute("PREPARE book AS UPDATE units SET status = 'success' WHERE order_id = $1")

    def received(message: Message) -> None:
        if message["kind"] == "success":
            books.execute("EXECUTE book (%s)", (message["id"],))

    consume("inbox", received, str(server.server_port))


{"api": take_orders, "leader": lead, "agent": run}[sys.argv[1]]()
