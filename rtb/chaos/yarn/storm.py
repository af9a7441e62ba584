"""Kills of all that YARN and the leader consist of: which, when, and in what order."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import cycle, islice
from random import Random
from signal import SIGKILL
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from rtb.chaos.slot import End, Slot
from rtb.chaos.yarn.containers import Containers
from rtb.sandbox.child import Child
from rtb.sandbox.yarn import YarnCluster

__all__ = ["KINDS", "YarnStorm", "order"]

_T = TypeVar("_T")
#: What is killed, as often as it is named here: agents die most often.
KINDS = (
    "agent", "leader", "ResourceManager", "ApplicationMaster", "NodeManager", "agent",
)  # fmt: skip
#: Seconds that a kill waits for its victim to be there again.
_PATIENCE = 60.0
_LOOK_EVERY = 0.2


def order(random: Random, count: int) -> list[str]:
    """Return *count* kinds to kill, in an order by chance."""
    kinds = list(islice(cycle(KINDS), count))
    random.shuffle(kinds)
    return kinds


class YarnStorm:
    """Kills by SIGKILL, and starts the cluster's servers again after a while.

    :param expiry: seconds after which the cluster gives up a silent node
    :param ended: told of each kill
    """

    def __init__(
        self,
        reactor: Any,
        random: Random,
        cluster: YarnCluster,
        containers: Containers,
        leader: Slot,
        *,
        expiry: float,
        ended: Callable[[End], None],
        say: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._random = random
        self._cluster = cluster
        self._containers = containers
        self._leader = leader
        self._expiry = expiry
        self._ended = ended
        self._say = say
        self._mending: list[Deferred[None]] = []
        #: Killed, and not up again: to kill one that starts would only break its start.
        self._down: set[str] = set()
        self.counts: Counter[str] = Counter()
        self._kills: dict[str, Callable[[], Awaitable[None]]] = {
            "agent": self._agent,
            "leader": self._kill_leader,
            "ResourceManager": self._manager,
            "ApplicationMaster": self._master,
            "NodeManager": self._node,
        }

    async def blow(self, kinds: list[str], gap: float) -> None:
        """Kill one after the other, *gap* seconds apart in the mean; return when all is mended."""
        for kind in kinds:
            pause = min(max(1.0, self._random.expovariate(1 / gap)), 3 * gap)
            await deferLater(self._reactor, pause)
            await self._kills[kind]()
        await gatherResults(self._mending, consumeErrors=True)

    def _note(self, kind: str, who: str) -> None:
        self.counts[f"kill {kind}"] += 1
        self._say(f"  kill {who}")
        if kind != "leader":  # whose slot tells by itself
            self._ended(End(self._reactor.seconds(), who, kind, "kill", "SIGKILL"))

    async def _victim(self, what: str, find: Callable[[], Awaitable[_T | None]]) -> _T | None:
        """Return who is to be killed, as soon as there is one; None after a long time."""
        until = self._reactor.seconds() + _PATIENCE
        while self._reactor.seconds() < until:
            found = await find()
            if found is not None:
                return found
            await deferLater(self._reactor, _LOOK_EVERY)
        self._say(f"  no {what} was there to be killed in {_PATIENCE:g} s")
        return None

    # ---- containers and roles

    async def _agent(self) -> None:
        async def one() -> int | None:
            agents = self._containers.agents()
            return self._random.choice(agents) if agents else None

        await self._kill_process("agent", one)

    async def _master(self) -> None:
        async def one() -> int | None:
            return next(reversed(self._containers.masters()), None)

        await self._kill_process("ApplicationMaster", one)

    async def _kill_process(self, kind: str, find: Callable[[], Awaitable[int | None]]) -> None:
        pid = await self._victim(kind, find)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
                self._note(kind, f"{kind} {pid}")

    async def _kill_leader(self) -> None:
        async def lives() -> Slot | None:
            return self._leader if self._leader.pid is not None else None

        if await self._victim("leader", lives) is not None:
            self._note("leader", self._leader.name)
            self._leader.kill()

    # ---- servers

    async def _manager(self) -> None:
        async def one() -> int | None:
            active = await self._cluster.active()
            up = active is not None and self._cluster.managers[active].name not in self._down
            return active if up else None

        number = await self._victim("ResourceManager", one)
        if number is not None:
            child = self._cluster.managers[number]
            self._kill_server("ResourceManager", child)
            self._mend(child, self._random.uniform(2.0, 8.0), self._cluster.start_manager, number)

    async def _node(self) -> None:
        async def one() -> int | None:
            living = [
                n for n, node in enumerate(self._cluster.nodes) if node.name not in self._down
            ]
            return self._random.choice(living) if len(living) > 1 else None

        number = await self._victim("NodeManager", one)
        if number is not None:
            child = self._cluster.nodes[number]
            self._kill_server("NodeManager", child)
            # Back before anybody has noticed, or long after it was given up.
            away = self._random.choice((3.0, self._expiry + 8.0))
            self._mend(child, away, self._cluster.start_node, number)

    def _kill_server(self, kind: str, child: Child) -> None:
        self._note(kind, child.name)
        child.signal(SIGKILL)

    def _mend(
        self, child: Child, away: float, start: Callable[[int], Deferred[None]], number: int
    ) -> None:
        async def mend() -> None:
            await child.when_ended()
            await deferLater(self._reactor, away)
            await start(number)
            self._down.discard(child.name)

        self._down.add(child.name)
        self._mending.append(Deferred.fromCoroutine(mend()))
