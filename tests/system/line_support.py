"""Roles as separate processes, against private servers."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any
from urllib.parse import quote

import attrs
import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from rtb.client import ApiUnreachableError, Client, ClientError, Summary
from rtb.settings import Broker, Database

TWISTD = Path(sys.executable).with_name("twistd")


class _Life(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[int | None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode)  # type: ignore[union-attr]


@attrs.define(eq=False)
class Role:
    """A role's process."""

    transport: Any
    life: _Life
    log: Path

    def signal(self, number: int) -> None:
        self.transport.signalProcess(Signals(number).name[3:])

    async def end(self, number: int = SIGTERM, within: float = 10.0) -> int | None:
        """Send a signal; return the exit code, which must come in time."""
        if self.transport.pid is not None:
            self.signal(number)
        return await self.life.ended.addTimeout(within, self.transport.reactor)


class Line:
    """A whole line: an API, and whatever else a test starts."""

    def __init__(self, reactor: Any, database: Database, vhost: Broker, directory: Path) -> None:
        self.reactor = reactor
        self.database = database
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.client = Client(f"http://127.0.0.1:{self.port}", reactor)
        self.roles: list[Role] = []
        password = f":{quote(database.password)}" if database.password else ""
        self.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("RTB_")},
            "RTB_DATABASE_URL": f"postgresql://{database.user}{password}@{database.where}"
            f"/{database.name}?sslmode={database.sslmode}",
            "RTB_AMQP_URL": f"amqp://{vhost.user}:{quote(vhost.password)}@{vhost.where}"
            f"/{quote(vhost.vhost, safe='')}",
            "RTB_API_HOST": f"127.0.0.1:{self.port}",
            "RTB_SEED_COUNT": "0",
            "RTB_EPOCH": "1",
            "RTB_WORKLOADS": "default=coinflip:error=0.1,seconds=0.05",
        }

    def start(self, role: str, *flags: str, **settings: str) -> Role:
        """Start a role; *settings* are variables without their RTB_."""
        life = _Life()
        log = self.directory / f"{len(self.roles)}-{role}.log"
        extra = {f"RTB_{name}": text for name, text in settings.items()}
        with log.open("wb") as output:
            transport = self.reactor.spawnProcess(
                life,
                str(TWISTD),
                [str(TWISTD), "-n", "--pidfile=", role, *flags],
                env={**self.environment, **extra},
                path=str(self.directory),
                childFDs={0: "w", 1: output.fileno(), 2: output.fileno()},
            )
        transport.reactor = self.reactor
        started = Role(transport, life, log)
        self.roles.append(started)
        return started

    def gate(self, free: int = 0) -> Path:
        """Let units run until the file that is returned is there, up to two minutes.

        Those whose ids are at most *free* end at once.
        """
        gate = self.directory / "gate"
        shut = f"[ ! -e {shlex.quote(str(gate))} ] && [ $RTB_UNIT -gt {free} ]"
        loop = f"n=0; while {shut} && [ $n -lt 1200 ]; do n=$((n + 1)); sleep 0.1; done"
        self.environment["RTB_WORKLOADS"] = f"default=command:{shlex.join(['sh', '-c', loop])}"
        return gate

    async def until(self, what: Callable[[Summary], bool], *, limit: float = 120.0) -> Summary:
        """Return the first summary that is as wanted; in each one the counts add up."""
        end = self.reactor.seconds() + limit
        summary = None
        while self.reactor.seconds() < end:
            try:
                summary = await self.client.status()
            except (ApiUnreachableError, ClientError):
                pass  # not there yet, or not there any more: asked again
            else:
                units = summary.units
                on_the_way = units.waiting + units.sent + units.queued + units.processing
                assert on_the_way + units.settled == units.total
                if what(summary):
                    return summary
            await deferLater(self.reactor, 0.05, lambda: None)
        raise AssertionError(f"not within {limit} s; last seen: {summary}\n{self.logs()}")

    async def until_led(self, *, agents: int = 1, box: str = "outbox") -> None:
        await self.until(
            lambda summary: any(
                leader.box == box and leader.state == "active" and leader.agents == agents
                for leader in summary.leaders
            )
        )

    async def until_settled(self, total: int, *, limit: float = 120.0) -> Summary:
        return await self.until(lambda summary: summary.units.settled == total, limit=limit)

    async def fetch(self, method: str, path: str) -> tuple[int, Mapping[str, str], str]:
        """Return status, headers (in lower case) and body; status 0 when nobody listens."""

        def ask() -> tuple[int, Mapping[str, str], str]:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                headers = {name.lower(): value for name, value in answer.getheaders()}
                return answer.status, headers, answer.read().decode()
            except ConnectionError:
                return 0, {}, ""
            finally:
                connection.close()

        return await deferToThreadPool(self.reactor, self.reactor.getThreadPool(), ask)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what an outsider sees in the ledger."""
        database = self.database
        connection = psycopg2.connect(
            host=database.host, port=database.port, user=database.user,
            password=database.password, dbname=database.name,
        )  # fmt: skip
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def logs(self) -> str:
        return "\n".join(role.log.read_text(errors="replace") for role in self.roles)

    def check(self) -> None:
        """Nothing is in flight, no attempt ran twice, and no log shows a traceback."""
        assert self.sql("SELECT * FROM flights") == []
        twice = """SELECT unit_id, attempt FROM history WHERE kind = 'processing'
                    GROUP BY unit_id, attempt HAVING count(*) > 1"""
        assert self.sql(twice) == []
        logs = self.logs()
        assert "Traceback" not in logs, logs
        assert "Unhandled" not in logs, logs

    async def end(self) -> None:
        """End every role at once, in time."""
        for role in self.roles:
            if role.transport.pid is not None:
                role.signal(SIGTERM)
        for role in self.roles:
            await role.life.ended.addTimeout(15.0, self.reactor)
        await self.client.close()


def order(units: int, **more: object) -> Mapping[str, object]:
    return {"units": [f"scene-{number}" for number in range(units)], **more}
