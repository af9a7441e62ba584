"""A whole line for a bench: roles as processes of their own, private servers, an outsider's eye."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import attrs
import psycopg2
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from rtb.client import ApiUnreachableError, Client, ClientError
from rtb.sandbox import Rabbit, Sandbox

#: The kernel ends what runs behind these words when the bench ends without having done so.
LEASH = ("setpriv", "--pdeathsig", "TERM", "--")


class _Life(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


@attrs.define(eq=False)
class Role:
    """A role's process."""

    transport: Any
    life: _Life

    async def end(self) -> None:
        """Ask it to end, and wait."""
        if self.transport.pid is not None:
            self.transport.signalProcess("TERM")
        await self.life.ended


class Line:
    """An API, a leader and agents on a fresh database and virtual host."""

    def __init__(self, reactor: Any, sandbox: Sandbox, name: str, directory: Path) -> None:
        self.reactor = reactor
        self._sandbox = sandbox
        self.name = name
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.client = Client(f"http://127.0.0.1:{self.port}", reactor)
        self._roles: dict[str, list[Role]] = {}
        self._connection: Any = None

    async def begin(
        self, capacity: int, slots: int, workload: str, *, agents: int = 1, boxes: int = 1
    ) -> None:
        """Start everything and wait until the leaders lead their agents.

        :param slots: of each agent
        :param boxes: each with a leader; the *agents* are dealt out to them in turn
        """
        postgres = self._sandbox.postgres
        await postgres.create_database(self.name)
        amqp = await add_vhost(self._sandbox.rabbit, self.name)
        environment = {
            **{key: text for key, text in os.environ.items() if not key.startswith("RTB_")},
            "RTB_DATABASE_URL": postgres.url_of(self.name),
            "RTB_AMQP_URL": amqp,
            "RTB_API_HOST": f"127.0.0.1:{self.port}",
            "RTB_SEED_COUNT": "0",
            "RTB_BROADCAST_MAX_QUEUE": str(capacity),
            "RTB_AGENT_SLOTS": str(slots),
            "RTB_WORKLOADS": f"default={workload}",
            "RTB_LOG_LEVEL": "warn",
        }
        names = [f"box-{number}" for number in range(boxes)]
        self._start("rtb-api", environment)
        for name in names:
            self._start("rtb-leader", environment | {"RTB_BROKER_BOX": name})
        for number in range(agents):
            self._start("rtb-agent", environment | {"RTB_BROKER_BOX": names[number % boxes]})
        await self.until(
            lambda status: (
                sum(leader.agents for leader in status.leaders) == agents
                and sum(leader.slots for leader in status.leaders) == agents * slots
            ),
            limit=120.0 + 2.0 * agents,
        )
        self._connection = psycopg2.connect(postgres.url_of(self.name))
        self._connection.autocommit = True

    def _start(self, role: str, environment: dict[str, str]) -> None:
        life = _Life()
        twistd = str(Path(sys.executable).with_name("twistd"))
        with (self.directory / f"{self.name}-{role}.log").open("ab") as log:
            transport = self.reactor.spawnProcess(
                life,
                LEASH[0],
                [*LEASH, twistd, "-n", "--pidfile=", role],
                env=environment,
                path=str(self.directory),
                childFDs={0: "w", 1: log.fileno(), 2: log.fileno()},
            )
        self._roles.setdefault(role, []).append(Role(transport, life))

    def pids(self, role: str) -> list[int]:
        """Return the processes of *role*."""
        return [int(one.transport.pid) for one in self._roles[role]]

    async def until(self, what: Callable[[Any], bool], limit: float = 120.0) -> Any:
        """Return the first summary that is as wanted."""
        end = self.reactor.seconds() + limit
        while self.reactor.seconds() < end:
            try:
                status = await self.client.status()
            except (ApiUnreachableError, ClientError):
                pass  # not there yet
            else:
                if what(status):
                    return status
            await self.sleep(0.05)
        raise SystemExit(f"{self.name}: not within {limit} s")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await deferLater(self.reactor, seconds, lambda: None)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what the ledger has; what is asked here is short."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    async def end(self) -> None:
        """End every role, and drop what it used."""
        await gather(role.end() for roles in self._roles.values() for role in roles)
        await self.client.close()
        if self._connection is not None:
            self._connection.close()
        await self._sandbox.postgres.drop_database(self.name)
        await remove_vhost(self._sandbox.rabbit, self.name)


async def add_vhost(rabbit: Rabbit, name: str) -> str:
    """Make a virtual host in which the user may do everything, and return its URL."""
    if rabbit.management_port is not None:
        await rabbit.management.add_vhost(name)
    else:
        await rabbit.control("add_vhost", name)
        await rabbit.control("set_permissions", "-p", name, rabbit.user, ".*", ".*", ".*")
    return rabbit.url.rpartition("/")[0] + "/" + name


async def remove_vhost(rabbit: Rabbit, name: str) -> None:
    """Remove a virtual host with all that is in it."""
    if rabbit.management_port is not None:
        await rabbit.management.remove_vhost(name)
    else:
        await rabbit.control("delete_vhost", name)


async def gather(works: Iterable[Coroutine[Deferred[Any], Any, None]]) -> None:
    """Wait for all of *works*."""
    await gatherResults([Deferred.fromCoroutine(work) for work in works], consumeErrors=True)


async def flood(line: Line, units: int, account: str = "flood") -> None:
    """Place one order of very many units."""
    body = "".join(f"u{number}\n" for number in range(units)).encode()
    await line.client.place_lines(body, query={"account": account})


def order(account: str, units: int) -> dict[str, Any]:
    """Return an order to place."""
    return {"account": account, "units": [f"u{number}" for number in range(units)]}


def shown(**values: object) -> None:
    """Say how far the bench is."""
    print(json.dumps(values), file=sys.stderr, flush=True)
