"""Who runs: rtb as separate processes, and each peer with a client and a worker."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from fair.line import Line, add_vhost, remove_vhost

from race.installs import PROGRAMS, Installed
from race.program import Program
from rtb.sandbox import Sandbox


@attrs.frozen(kw_only=True)
class Place:
    """Where an entry runs."""

    reactor: Any
    sandbox: Sandbox
    #: For logs.
    directory: Path


class Entry(ABC):
    """One system on a fresh database (and virtual host)."""

    #: How many units it has done.
    done: str
    client: Program

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name

    @property
    def database(self) -> str:
        """The URL of its database."""
        return self.place.sandbox.postgres.url_of(self.name)

    @property
    def log(self) -> Path:
        """Where its programs say what goes wrong."""
        return self.place.directory / f"{self.name}.log"

    @abstractmethod
    async def begin(self) -> None:
        """Start it; units may be placed when this returns."""

    @abstractmethod
    def tops(self) -> dict[str, list[int]]:
        """Return the top processes of what it consists of."""

    @abstractmethod
    async def end(self) -> None:
        """End it, and drop what it used."""


class Rtb(Entry):
    """rtb: an API, leaders and agents, and a client that speaks HTTP."""

    done = "SELECT count(*) FROM units WHERE status = 'success'"

    def __init__(
        self,
        place: Place,
        name: str,
        *,
        capacity: int,
        slots: int,
        agents: int = 1,
        boxes: int = 1,
        workload: str = "noop",
        going: bool = True,
    ) -> None:
        super().__init__(place, name)
        self.line = Line(place.reactor, place.sandbox, name, place.directory)
        self._shape = {"capacity": capacity, "slots": slots, "agents": agents, "boxes": boxes}
        self._workload = workload
        self._going = going

    async def begin(self) -> None:
        """Start the roles, press go, and start the client."""
        await self.line.begin(workload=self._workload, **self._shape)
        if self._going:
            await self.line.client.go()
        self.client = Program(
            self.place.reactor,
            [sys.executable, str(PROGRAMS / "rtb_client.py")],
            {"BENCH_DATABASE": self.database, "BENCH_API_PORT": str(self.line.port)},
            self.log,
        )
        await self.client.line()

    def tops(self) -> dict[str, list[int]]:
        """Return the roles, the client and both servers."""
        return {
            "client": [self.client.pid],
            "API": self.line.pids("rtb-api"),
            "leader": self.line.pids("rtb-leader"),
            "agent": self.line.pids("rtb-agent"),
            **servers(self.place.sandbox, "PostgreSQL", "RabbitMQ"),
        }

    async def end(self) -> None:
        """End the client and the roles."""
        if hasattr(self, "client"):
            await self.client.end()
        await self.line.end()


@attrs.frozen(kw_only=True)
class Peer:
    """How a peer is run."""

    name: str
    done: str
    client: str
    worker: tuple[str, ...]
    with_broker: bool = True


PEERS = {
    "pg-boss": Peer(
        name="pg-boss",
        done="SELECT count(*) FROM pgboss.job WHERE state = 'completed'",
        client="pgboss_client.mjs",
        worker=("node", "pgboss_worker.mjs"),
        with_broker=False,
    ),
    "dramatiq": Peer(
        name="dramatiq",
        done="SELECT count(*) FROM units WHERE status = 'success'",
        client="dramatiq_client.py",
        worker=("dramatiq", "-p", "1", "-t", "8", "dramatiq_app"),
    ),
    "celery": Peer(
        name="celery",
        done="SELECT count(*) FROM celery_taskmeta WHERE status = 'SUCCESS'",
        client="celery_client.py",
        worker=("celery", "-A", "celery_app", "worker", "-P", "prefork", "-c", "2", "-l", "WARNING",
                "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ),
}  # fmt: skip


class PeerEntry(Entry):
    """A peer: a client, and a worker."""

    def __init__(self, place: Place, name: str, peer: Peer, installed: Installed) -> None:
        super().__init__(place, name)
        self.done = peer.done
        self._peer = peer
        self._installed = installed

    async def begin(self) -> None:
        """Start the client, which makes the tables, then the worker."""
        sandbox = self.place.sandbox
        await sandbox.postgres.create_database(self.name)
        environment = {"BENCH_DATABASE": self.database, **self._installed.environment}
        if self._peer.with_broker:
            environment["BENCH_AMQP"] = await add_vhost(sandbox.rabbit, self.name)
        runner = "node" if self._peer.client.endswith(".mjs") else "python"
        self.client = self._program((runner, self._peer.client), environment)
        await self.client.line()
        self._worker = self._program(self._peer.worker, environment)

    def _program(self, words: tuple[str, ...], environment: dict[str, str]) -> Program:
        command, *rest = words
        words = (str(self._installed.bin / command), *rest)
        return Program(self.place.reactor, words, environment, self.log)

    def tops(self) -> dict[str, list[int]]:
        """Return client, worker and the servers that it uses."""
        used = ("PostgreSQL", "RabbitMQ") if self._peer.with_broker else ("PostgreSQL",)
        return {
            "client": [self.client.pid],
            "worker": [self._worker.pid],
            **servers(self.place.sandbox, *used),
        }

    async def end(self) -> None:
        """End both programs, and drop what they used."""
        for name in ("client", "_worker"):
            if hasattr(self, name):
                await getattr(self, name).end()
        await self.place.sandbox.postgres.drop_database(self.name)
        if self._peer.with_broker:
            await remove_vhost(self.place.sandbox.rabbit, self.name)


class Wire(Entry):
    """A unit's way with little else: three bare roles, and rtb's own client."""

    done = "SELECT count(*) FROM units WHERE status = 'success'"

    async def begin(self) -> None:
        """Start the roles, the one that the client speaks to last."""
        sandbox = self.place.sandbox
        await sandbox.postgres.create_database(self.name)
        environment = {
            "BENCH_DATABASE": self.database,
            "BENCH_AMQP": await add_vhost(sandbox.rabbit, self.name),
        }
        self._roles: list[Program] = []
        for role in ("agent", "leader", "api"):
            self._roles.append(self._program("wire.py", environment, role))
            said = await self._roles[-1].line()
        self.client = self._program("rtb_client.py", {**environment, "BENCH_API_PORT": said})
        await self.client.line()

    def _program(self, name: str, environment: Mapping[str, str], *words: str) -> Program:
        command = [sys.executable, str(PROGRAMS / name), *words]
        return Program(self.place.reactor, command, environment, self.log)

    def tops(self) -> dict[str, list[int]]:
        """Return the client, the roles and both servers."""
        return {
            "client": [self.client.pid],
            "worker": [role.pid for role in self._roles],
            **servers(self.place.sandbox, "PostgreSQL", "RabbitMQ"),
        }

    async def end(self) -> None:
        """End the client, then the roles, and drop what they used."""
        if hasattr(self, "client"):
            await self.client.end()
        for role in reversed(getattr(self, "_roles", [])):
            await role.end()
        await self.place.sandbox.postgres.drop_database(self.name)
        await remove_vhost(self.place.sandbox.rabbit, self.name)


def servers(sandbox: Sandbox, *names: str) -> dict[str, list[int]]:
    """Return the servers' processes by name."""
    pids = {"PostgreSQL": sandbox.postgres.process.pid, "RabbitMQ": sandbox.rabbit.process.pid}
    return {name: [pid] for name in names if (pid := pids[name]) is not None}
