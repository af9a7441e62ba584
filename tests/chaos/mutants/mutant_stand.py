"""Where known-bad builds run: roles inside of this process, where they can be patched."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from rtb.broker import BrokerClient, shared
from rtb.chaos import errand
from rtb.chaos.proxy import Proxy
from rtb.client import Client
from rtb.roles import build
from rtb.sandbox.directory import free_port
from rtb.settings import Broker, Database, Settings

EPOCH = 0.3


class Stand:
    """Roles inside of this process, where they can be patched; links go through proxies."""

    def __init__(self, reactor: Any, database: Database, broker: Broker, place: Path) -> None:
        self.reactor, self.database, self.broker = reactor, database, broker
        self.executions = place / "executions.log"
        self.executions.touch()
        self.port = free_port()
        self.client = Client(f"http://127.0.0.1:{self.port}", reactor)
        self.services: list[Any] = []
        self.proxies: dict[str, Proxy] = {}
        self.settings: dict[str, str] = {}

    async def start(self, kind: str) -> None:
        proxy = self.proxies[kind] = Proxy(self.reactor, self.broker.host, self.broker.port)
        await proxy.start()
        db, mq = self.database, self.broker
        environ = {
            "RTB_DATABASE_URL": f"postgresql://{db.user}:{quote(db.password)}@{db.where}"
            f"/{db.name}?sslmode={db.sslmode}",
            "RTB_AMQP_URL": f"amqp://{mq.user}:{quote(mq.password)}@127.0.0.1:{proxy.port}"
            f"/{quote(mq.vhost, safe='')}",
            "RTB_API_HOST": f"127.0.0.1:{self.port}",
            "RTB_SEED_COUNT": "0",
            "RTB_EPOCH": str(EPOCH),
            "RTB_DRAIN_TIMEOUT": "0.1",
            "RTB_WORKLOADS": "default=command:"
            + shlex.join([sys.executable, "-I", "-S", str(errand.__file__), str(self.executions)]),
            **self.settings,
        }
        service: Any = getattr(build, kind)(Settings.load({}, environ), self.reactor)
        service.privilegedStartService()
        service.startService()
        self.services.append(service)

    async def all(self) -> None:
        for kind in ("api", "leader", "agent"):
            await self.start(kind)
        await self.until(lambda: self.sql("SELECT 1 FROM boxes WHERE slots > 0"))

    async def place(self, seconds: float) -> None:
        payload = {"seconds": seconds, "end": "success"}
        await self.client.place({"units": [{"payload": payload}]})
        await self.client.go()

    def connect(self) -> Any:
        db = self.database
        return psycopg2.connect(
            host=db.host, port=db.port, user=db.user, password=db.password, dbname=db.name
        )

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        connection = self.connect()
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.errors.UndefinedTable:
            return []
        finally:
            connection.close()

    def lines(self, word: str) -> Counter[tuple[str, ...]]:
        rows = [line.split() for line in self.executions.read_text().splitlines()]
        return Counter(tuple(row[:2]) for row in rows if row[3] == word)

    async def until(self, what: Callable[[], object], limit: float = 15.0) -> None:
        end = self.reactor.seconds() + limit
        while not what():
            assert self.reactor.seconds() < end, "it never came"
            await self.pause(0.05)

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self.reactor, seconds, lambda: None)

    def outsider(self) -> BrokerClient:
        client = BrokerClient(
            self.reactor, self.broker, name="outsider", random=lambda: 0.5, topology=shared()
        )
        client.startService()
        return client

    async def end(self) -> None:
        for proxy in self.proxies.values():
            proxy.mend()
        for service in reversed(self.services):
            await service.stopService()
        await self.client.close()
        for proxy in self.proxies.values():
            await proxy.stop()
