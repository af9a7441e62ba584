"""A line of roles whose agents run in containers, and what can be done to those."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from signal import SIGKILL
from typing import Any

import attrs
import treq
from line_support import Line, Role, order
from twisted.internet.task import deferLater

from rtb.client import Summary
from rtb.leader.yarn.answers import Service
from rtb.leader.yarn.client import YarnClient
from rtb.sandbox.child import Child
from rtb.sandbox.proc import descendants, identity
from rtb.sandbox.yarn import YarnCluster

ROOT = Path(__file__).parents[2]
#: Begins to remove a service: what it is given is carried out beside the next tests.
Ending = Callable[[Coroutine[Any, Any, None]], None]


@attrs.define
class YarnLine:
    """The line; its leader's service has a name of its own."""

    line: Line
    cluster: YarnCluster
    client: YarnClient
    test: str
    service: str = ""

    def __attrs_post_init__(self) -> None:
        self.service = re.sub(r"[^a-z0-9]+", "-", f"rtb-{self.test}".lower())[:40].strip("-")
        url = self.line.directory / "amqp-url"
        url.touch(mode=0o600)
        url.write_text(self.line.environment["RTB_AMQP_URL"])
        twistd = shlex.quote(str(Path(sys.executable).with_name("twistd")))
        self.line.environment |= {
            "RTB_LAUNCHER": "yarn",
            "RTB_AGENTS": "0:2",
            "RTB_AGENTS_QUIET": "3",
            "RTB_AGENT_SLOTS": "2",
            "RTB_EPOCH": "10",
            "RTB_WORKLOADS": "default=coinflip:error=0,seconds=0.2",
            "RTB_YARN_RM": ",".join(self.cluster.addresses),
            "RTB_YARN_USER": "rtb",
            "RTB_YARN_SERVICE": self.service,
            "RTB_YARN_MEMORY": "256",
            "RTB_YARN_COMMAND": f"{twistd} -n --pidfile= rtb-agent",
            "RTB_YARN_ENV": f"PYTHONPATH={ROOT}",
            "RTB_YARN_AMQP_URL_FILE": str(url),
        }

    async def start(self, *, units: int = 0, **settings: str) -> Role:
        """Start API and leader, place *units* and press go; return the leader."""
        self.line.environment |= {f"RTB_{name}": text for name, text in settings.items()}
        self.line.start("rtb-api")
        leader = self.line.start("rtb-leader")
        await self.line.until(lambda summary: bool(shown(summary)))
        if units:
            await self.line.client.place(order(units))
        await self.line.client.go()
        return leader

    async def until_service(self, what: Any, *, limit: float = 60.0) -> Service | None:
        """Return the service when it is as wanted."""
        until = self.line.reactor.seconds() + limit
        while True:
            service = await self.client.service(self.service)
            if what(service):
                return service
            assert self.line.reactor.seconds() < until, f"{service}\n{self.line.logs()}"
            await deferLater(self.line.reactor, 0.2, lambda: None)

    async def until_node(self, port: int, state: str) -> None:
        """Return when YARN says of the node at *port* that it is *state*."""
        until = self.line.reactor.seconds() + 90
        while True:
            nodes = await self.client.nodes()
            (found,) = [node.state for name, node in nodes.items() if name.endswith(f":{port}")]
            if found == state:
                return
            assert self.line.reactor.seconds() < until, nodes
            await deferLater(self.line.reactor, 0.5)

    async def until_log(self, link: str, words: str) -> None:
        """Return when the page that a link leads to, and the output it leads to, is served."""
        reactor = self.line.reactor
        until = reactor.seconds() + 60
        for page, wanted in ((link, "stdout.txt"), (f"{link}/stdout.txt/?start=-4096", words)):
            said = ""
            while not re.search(wanted, said):
                assert reactor.seconds() < until, f"{page}: {said}"
                answer = await treq.get(page, timeout=20)
                said = f"{answer.code} {await answer.text()}"
                assert answer.code == 200, f"{page}: {said}"
                await deferLater(reactor, 0.2)

    async def kill_master(self) -> None:
        """Kill the service's ApplicationMaster; return when there is another."""
        master = self.application_master()
        os.kill(master, SIGKILL)
        await self.line.until(lambda _: self.masters() not in ([], [master]))

    async def until_removed(self, container: str = "container_") -> None:
        """Return when no agent's process of this test is left."""
        until = self.line.reactor.seconds() + 20
        while self.agents():
            assert self.line.reactor.seconds() < until, self.agents()
            await deferLater(self.line.reactor, 0.1, lambda: None)

    def agents(self) -> dict[int, str]:
        """Return the pids of this test's agents, with the node that each runs on."""
        mine = f"RTB_AMQP_URL_FILE={self.line.directory / 'amqp-url'}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            pid = int(entry.name)
            if mine in variables and b"rtb-agent\0" in command and identity(pid):
                (port,) = [v for v in variables if v.startswith(b"NM_PORT=")]
                found[pid] = port.decode().partition("=")[2]
        return found

    def application_master(self) -> int:
        """Return the pid of the service's ApplicationMaster."""
        (master,) = self.masters()
        return master

    def masters(self) -> list[int]:
        """Return the pids of the service's ApplicationMasters."""
        return [
            pid
            for pid, words in self._java()
            if f"-yarnfile {self.service}" in words or f"/{self.service}/" in words
        ]

    def has_master(self, node: Child) -> bool:
        """Does the ApplicationMaster run on *node*?"""
        assert node.pid is not None
        return self.application_master() in descendants(node.pid)

    def _java(self) -> list[tuple[int, str]]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if "ServiceMaster" in words and "java" in words.partition(" ")[0]:
                found.append((int(entry.name), words))
        return found

    def kinds(self) -> dict[str, int]:
        """Count what happened to units."""
        rows = self.line.sql("SELECT kind::text, count(*) FROM history GROUP BY kind")
        return dict(rows)

    async def clean(self) -> None:
        """End roles and agents; what is left of the service is for the caller to remove."""
        for role in self.line.roles:
            if role.transport.pid is not None:
                role.signal(SIGKILL)
                if not role.life.ended.called:
                    await role.life.ended
        await self.line.client.close()
        for pid in self.agents():
            os.kill(pid, SIGKILL)


def shown(summary: Summary) -> dict[str, Any]:
    """Return what the leader's launcher shows."""
    return summary.leaders[0].launcher if summary.leaders else {}


def running(summary: Summary) -> int:
    """Return how many launched agents are there."""
    return int(shown(summary).get("running", -1))
