"""What a unit and an agent cost: CPU time of each role and server, memory, and the leader's share.

    python bench/costs.py        # about two minutes; docs/yarn.md has its figures

Real processes on private servers settle no-op units, then idle with few agents and with many. What
a leader spends on one word of an agent, where there are 1,000 of them, is measured on its own
parts: so many agents do not fit on one machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater, react

from rtb.chaos.system import Shape, System
from rtb.client import ApiUnreachableError, Client, ClientError
from rtb.leader.fleet import Fleet
from rtb.leader.launcher import NoLauncher
from rtb.leader.register import Register
from rtb.model.scale import Range, Scale
from rtb.model.tracker import Tracker
from rtb.model.wire import Held, Presence, Track, encode
from rtb.sandbox import Sandbox
from rtb.sandbox.proc import descendants
from rtb.settings import Settings

UNITS, FEW, MANY, SLOTS, IDLE = 6000, 2, 22, 8, 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


def spent(pids: Iterable[int]) -> float:
    """Return the CPU seconds of *pids*, with those of their ended children."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15])
    return total / _TICKS


def resident(pid: int) -> float:
    """Return the MiB that *pid* alone has in memory."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return (
        sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private")) / 1024
    )


@attrs.frozen
class Whole:
    """A running system."""

    reactor: Any
    system: System
    sandbox: Sandbox
    client: Client

    def costs(self) -> dict[str, float]:
        """Return CPU seconds by role and server, so far."""
        servers = {"PostgreSQL": self.sandbox.postgres, "RabbitMQ": self.sandbox.rabbit}
        found = {
            name: spent(descendants(server.process.pid or 0)) for name, server in servers.items()
        }
        for kind in ("api", "leader", "agent"):
            found[kind] = spent(slot.pid for slot in self.system.of_kind(kind) if slot.pid)
        return found

    async def until(self, what: Any) -> None:
        """Wait until the summary is as wanted."""
        while True:
            try:
                if what(await self.client.status()):
                    return
            except (ApiUnreachableError, ClientError):
                pass  # it starts
            await deferLater(self.reactor, 0.2)

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """Return what was spent since *before*."""
        return {name: value - before[name] for name, value in self.costs().items()}


async def settle(whole: Whole) -> None:
    """Settle many units, and say what one of them cost."""
    units = [{"name": f"unit-{n}"} for n in range(UNITS)]
    await whole.client.go()
    before, began = whole.costs(), time.monotonic()
    await whole.client.place({"units": units, "workload": "noop"})
    await whole.until(lambda summary: summary.units.settled == UNITS)
    rate = UNITS / (time.monotonic() - began)
    print(f"{UNITS} no-op units, {FEW} agents of {SLOTS} slots: {rate:.0f} a second")
    for name, value in whole.since(before).items():
        print(f"  CPU per unit, {name:12} {1000 * value / UNITS:.2f} ms")


async def idle(whole: Whole, agents: int) -> dict[str, float]:
    """Return the CPU seconds per second while nothing happens."""
    await whole.until(lambda summary: summary.leaders and summary.leaders[0].agents == agents)
    await deferLater(whole.reactor, 5.0)
    before = whole.costs()
    await deferLater(whole.reactor, IDLE)
    return {name: value / IDLE for name, value in whole.since(before).items()}


async def run(reactor: Any, agents: int) -> tuple[dict[str, float], float]:
    """Return what a system with so many agents costs idle, and the memory of an agent."""
    place = Path(tempfile.mkdtemp(prefix="rtb-bench-"))
    place.chmod(0o711)
    sandbox = Sandbox(reactor, place / "servers", durable=True)
    await sandbox.start()
    settings = Settings.load({}, sandbox.environment())
    shape = Shape(
        apis=1, leaders={"outbox": 1}, agents={"outbox": agents}, agent_slots=SLOTS, bound=200,
        epoch=10.0, settings={"RTB_WORKLOADS": "default=noop;noop=noop"},
    )  # fmt: skip
    system = System(reactor, place, settings.db, settings.amqp, shape)
    try:
        await system.prepare()
        system.start()
        client = Client(f"http://127.0.0.1:{system.ports['api-0']}", reactor)
        whole = Whole(reactor, system, sandbox, client)
        rested = await idle(whole, agents)
        if agents == FEW:
            await settle(whole)
        memory = max(resident(slot.pid) for slot in system.of_kind("agent") if slot.pid)
        await client.close()
    finally:
        await system.close()
        await sandbox.stop()
        shutil.rmtree(place)
    return rested, memory


class _Owner(NoLauncher):
    def owns(self, track: Track) -> bool:
        return True


def words(agents: int) -> None:
    """Say what the leader spends on one word of an agent when there are *agents* of them."""
    tracker = Tracker(5000)
    register = Register(tracker, 10.0)
    fleet = Fleet(
        Clock(), _Owner(), Scale(Range(0, agents), 4, 30.0), register, tracker,
        offers=frozenset(), settle=0.0, dismiss=lambda agent: None,
        exited=lambda agent, how: None, changed=lambda: None,
    )  # fmt: skip

    def word(agent: int, seq: int) -> Track:
        # Full, but for the one that says the word: a unit of it has ended.
        holding = [Held(agent * 10 + n, seq, True, "me") for n in range(4 - seq % 2)]
        return Track(
            ledger="l", box="b", agent=f"{agent:024}", name=f"agent-{agent}", host="node:8041",
            pid=1, presence=Presence.READY, seq=seq, session=1, leader="x", heard=0, slots=4,
            workloads=["w"], holding=holding, container=f"container_{agent:020}",
        )  # fmt: skip

    for agent in range(agents):
        register.heard(word(agent, 2), "x", "l", 0.0)
    began = time.perf_counter()
    for number in range(500):
        for seq in (3, 4):
            one = word(number % agents, 2 * (number // agents) + seq)
            fleet.hears(one)
            register.heard(one, "x", "l", 1.0)
            fleet.heard(one)
            fleet.adjust()
            register.free(1.0)
    took = (time.perf_counter() - began) / 1000
    size = len(encode(one))
    print(f"{agents:5} agents: {1000 * took:.2f} ms of the leader's per word ({size} bytes)")


async def main(reactor: Any) -> None:
    """Measure."""
    for agents in (10, 100, 1000):
        words(agents)
    few, _ = await run(reactor, FEW)
    many, memory = await run(reactor, MANY)
    print(f"an agent more, idle ({memory:.0f} MiB of its own):")
    for name, value in many.items():
        print(f"  CPU, {name:12} {1000 * (value - few[name]) / (MANY - FEW):.2f} ms a second")


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
