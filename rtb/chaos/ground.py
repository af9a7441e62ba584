"""Private servers with a system on them at its default settings, and who looks at it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from rtb.chaos.evidence import read_executions
from rtb.chaos.outsider import Outsider
from rtb.chaos.slot import Slot
from rtb.chaos.system import Shape, System
from rtb.client import Client, ClientError, Summary
from rtb.errors import RtbError
from rtb.sandbox import Sandbox
from rtb.settings import Settings

__all__ = ["Ground", "default_shape"]


def default_shape(*, leaders: int, agents: int) -> Shape:
    """Return one API and one box, with the settings that rtb has when nobody sets any."""
    usual = Settings.load({}, {})
    return Shape(
        apis=1,
        leaders={usual.box: leaders},
        agents={usual.box: agents},
        agent_slots=usual.agent_slots,
        bound=usual.max_queue,
        epoch=usual.epoch,
    )


class Ground:
    """A system of its own in a temporary directory, which is kept if :attr:`failed` is set.

    :param shape: what runs
    """

    def __init__(self, reactor: Any, shape: Shape, say: Callable[[str], None]) -> None:
        self.reactor = reactor
        self.shape = shape
        self.say = say
        self.failed = True
        self._directory = Path(tempfile.mkdtemp(prefix="rtb-chaos-"))
        self._directory.chmod(0o711)
        self.sandbox = Sandbox(reactor, self._directory / "servers")

    async def start(self) -> None:
        """Start everything; return when agents are there and claims go on."""
        await self.sandbox.start()
        settings = Settings.load({}, self.sandbox.environment())
        self.outsider = Outsider(settings.db, settings.amqp)
        roles = self._directory / "roles"
        roles.mkdir()
        self.system = System(self.reactor, roles, settings.db, settings.amqp, self.shape)
        await self.system.prepare()
        self.client = Client(f"http://127.0.0.1:{self.system.ports['api-0']}", self.reactor)
        self.system.start()
        agents = sum(self.shape.agents.values())
        await self.until(lambda summary: sum(x.agents for x in summary.leaders) == agents)
        await self.client.go()

    async def stop(self) -> None:
        """End everything."""
        await self.client.close()
        await self.system.close()
        await self.sandbox.stop()
        if self.failed:
            self.say(f"what it left is in {self._directory}")
        else:
            shutil.rmtree(self._directory)

    def leading(self) -> Slot:
        """Return the slot of the leader that the ledger takes for the box's."""
        ((leader,),) = self.outsider.sql("SELECT leader FROM boxes")
        (slot,) = (
            slot for slot in self.system.of_kind("leader") if f" as {leader}:" in _read(slot.log)
        )
        return slot

    def starts(self) -> list[tuple[int, int]]:
        """Return the unit and attempt of each execution, as the units themselves wrote it down."""
        lines = read_executions(_read(self.system.executions).splitlines())
        return [(line.unit, line.attempt) for line in lines if line.word == "start"]

    async def until(self, what: Callable[[Summary], bool], limit: float = 120.0) -> Summary:
        """Return the first summary that is as wanted.

        :raises RtbError: there is none within *limit* seconds
        """
        end = self.reactor.seconds() + limit
        summary = None
        while self.reactor.seconds() < end:
            try:
                summary = await self.client.status()
            except (RtbError, ClientError):
                pass  # it is not there now: asked again
            else:
                if what(summary):
                    return summary
            await self.pause(0.2)
        raise RtbError(f"not within {limit:g} s; last seen: {summary}")

    async def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of *statement*, asked for in a thread."""
        pool = self.reactor.getThreadPool()
        rows: list[tuple[Any, ...]] = await deferToThreadPool(
            self.reactor, pool, self.outsider.sql, statement
        )
        return rows

    def pause(self, seconds: float) -> Deferred[None]:
        """Wait."""
        return deferLater(self.reactor, seconds, lambda: None)


def _read(path: Path) -> str:
    return path.read_text(errors="replace")
