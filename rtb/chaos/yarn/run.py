"""One run: a real cluster under kills while units run, then what an outsider can see of it."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool

from rtb.addresses import Broker, Database
from rtb.chaos.evidence import Evidence, read_executions
from rtb.chaos.feeder import Feeder, wishes
from rtb.chaos.outsider import Outsider
from rtb.chaos.run import Outcome
from rtb.chaos.sampler import Sampler
from rtb.chaos.slot import End
from rtb.chaos.system import Shape, System
from rtb.chaos.yarn.containers import Containers
from rtb.chaos.yarn.storm import YarnStorm, order
from rtb.client import Client
from rtb.sandbox.yarn import YarnCluster

__all__ = ["EXPIRY", "YarnRun"]

#: Seconds of silence after which the cluster gives up a node.
EXPIRY = 10.0
_EPOCH = 2.0
#: Seconds that the long units take, and the mean from kill to kill.
_LONG, _GAP = 12.0, 6.0
#: Seconds that all may take to settle when the last server is back: five epochs, a takeover with
#: the containers' start after it, the last retry, a long unit, and so much for each waiting one.
_LIMIT = 5 * _EPOCH + 40.0 + 12.0 + _LONG
_PER_UNIT = 0.4
#: Beyond the limit a run waits so long, to tell late from lost.
_PATIENCE = 60.0
#: Seconds after the last unit in which all agents are to have gone.
_EMPTY = 60.0
_SAY_EVERY = 5.0
_FORBIDDEN = ("Traceback", "Unhandled")
_LEFT = "SELECT count(*) FROM units WHERE status NOT IN ('success', 'error', 'cancelled')"


class YarnRun:
    """Settles *units* under *kills*, all chance from *seed*; files go to *directory*."""

    def __init__(
        self,
        reactor: Any,
        directory: Path,
        database: Database,
        broker: Broker,
        cluster: YarnCluster,
        *,
        units: int,
        kills: int,
        seed: int,
        say: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._directory = directory
        self._broker = broker
        self._cluster = cluster
        self._units = units
        self._seed = seed
        self._say = say
        self._random = Random(seed)  # noqa: S311 the seed is printed, for replay
        self._kinds = order(self._random, kills)
        shape = Shape(
            apis=1, leaders={"outbox": 1}, agents={}, agent_slots=2, epoch=_EPOCH,
            settings=self._settings(),
        )  # fmt: skip
        self.evidence = Evidence(bound=shape.bound)
        self._outsider = Outsider(database, broker)
        self._system = System(reactor, directory, database, broker, shape)
        self._containers = Containers(cluster.path)
        self._ends: list[End] = []
        self._sampler: Sampler | None = None
        self._began = reactor.seconds()
        self._most = 0

    async def run(self) -> Outcome:
        """Do it."""
        try:
            counts = await self._weather()
            await self._calm()
            await self._emptied()
            await self._finish()
        finally:
            await self._system.close()
        took = self._reactor.seconds() - self._began
        return Outcome(
            self._seed, self.evidence, counts, self._ends, self._recoveries(), Counter(), took
        )

    @property
    def most(self) -> int:
        """How many agents ran at once."""
        return self._most

    def _settings(self) -> dict[str, str]:
        url = self._directory / "amqp-url"
        url.touch(mode=0o600)
        url.write_text(self._broker.url)
        twistd = shlex.quote(str(Path(sys.executable).with_name("twistd")))
        settings = {
            "RTB_LAUNCHER": "yarn",
            "RTB_AGENTS": "0:8",
            "RTB_AGENTS_QUIET": "5",
            "RTB_YARN_RM": ",".join(self._cluster.addresses),
            "RTB_YARN_SERVICE": "rtb-chaos",
            "RTB_YARN_MEMORY": "256",
            "RTB_YARN_COMMAND": f"{twistd} -n --pidfile= rtb-agent",
            "RTB_YARN_AMQP_URL_FILE": str(url),
        }
        if os.environ.get("PYTHONPATH"):
            settings["RTB_YARN_ENV"] = f"PYTHONPATH={os.environ['PYTHONPATH']}"
        return settings

    # ---- the course of it

    async def _weather(self) -> Counter[str]:
        await self._system.prepare()
        for slot in self._system.slots:
            slot.ended_with = self._ended
        self._system.start()
        (api,) = self._system.of_kind("api")
        (leader,) = self._system.of_kind("leader")
        port = self._system.ports[api.name]
        self._sampler = Sampler(self._reactor, api, port, self.evidence.answers)
        client = Client(f"http://127.0.0.1:{port}", self._reactor)
        storm = YarnStorm(
            self._reactor, self._random, self._cluster, self._containers, leader,
            expiry=EXPIRY, ended=self._ends.append, say=self._say,
        )  # fmt: skip
        clocks = [self._clock(self._progress, _SAY_EVERY), self._clock(self._count_up, 2.0)]
        try:
            feeder = Feeder(self._reactor, [client], self._random, self.evidence)
            await feeder.go()
            self._sampler.start()
            payloads = wishes(self._random, self._units, _LONG)
            feeding = Deferred.fromCoroutine(feeder.feed(payloads, _GAP * len(self._kinds)))
            await self._until_running()
            await storm.blow(self._kinds, _GAP)
            await feeding
        finally:
            for clock in clocks:
                clock.stop()
            await client.close()
        return storm.counts

    def _clock(self, work: Callable[[], Any], every: float) -> LoopingCall:
        clock = LoopingCall(work)
        clock.clock = self._reactor
        clock.start(every, now=False)
        return clock

    async def _until_running(self) -> None:
        until = self._reactor.seconds() + _PATIENCE
        while len(self._containers.agents()) < 2 and self._reactor.seconds() < until:
            await deferLater(self._reactor, 0.2)

    async def _calm(self) -> None:
        evidence = self.evidence
        evidence.calm_at = self._reactor.seconds()
        left = await self._left()
        evidence.settle_limit = _LIMIT + _PER_UNIT * left
        self._say(f"calm: {left} units to settle within {evidence.settle_limit:.0f} s")
        end = evidence.calm_at + evidence.settle_limit + _PATIENCE
        while self._reactor.seconds() < end:
            if not await self._left():
                evidence.settled_at = self._reactor.seconds()
                return
            await deferLater(self._reactor, 0.25)

    async def _emptied(self) -> None:
        """Wait for all agents to have gone, also those that YARN counts no more."""
        end = self._reactor.seconds() + _EMPTY
        while agents := self._containers.agents():
            if self._reactor.seconds() > end:
                self.evidence.crashes.append(
                    f"{len(agents)} agents still run {_EMPTY:g} s after the last unit"
                )
                return
            await deferLater(self._reactor, 0.25)

    async def _finish(self) -> None:
        evidence = self.evidence
        evidence.miscounts += await self._thread(self._outsider.miscounts)
        await self._system.of_kind("leader")[0].stop()
        await deferLater(self._reactor, 1.0)  # its last words are applied
        assert self._sampler is not None
        self._sampler.stop()
        await self._system.of_kind("api")[0].stop()
        evidence.queues = await self._thread(self._outsider.waiting, ["outbox", "inbox"])
        evidence.dead_strange += [str(one) for one in await self._thread(self._outsider.take_dead)]
        evidence.flights = await self._thread(self._outsider.flights)
        evidence.units = await self._thread(self._outsider.units)
        evidence.events = await self._thread(self._outsider.events)
        evidence.executions = read_executions(self._system.executions.read_text().splitlines())
        for slot in self._system.slots:
            self._read_log(slot.log)
        for log in self._containers.logs():
            self._read_log(log)

    # ---- what is noted on the way

    def _ended(self, end: End) -> None:
        self._ends.append(end)
        if not end.cause:
            self.evidence.crashes.append(f"{end.slot} ended by itself: {end.how}")

    async def _left(self) -> int:
        ((left,),) = await self._thread(self._outsider.sql, _LEFT)
        return int(left)

    def _count_up(self) -> Deferred[None]:
        async def count() -> None:
            self.evidence.miscounts += await self._thread(self._outsider.miscounts)

        return Deferred.fromCoroutine(count())

    def _read_log(self, log: Path) -> None:
        for line in log.read_text(errors="replace").splitlines():
            if any(word in line for word in (*_FORBIDDEN, self._broker.password)):
                self.evidence.log_lines.append(f"{log.parent.name}/{log.name}: {line[:200]}")

    def _recoveries(self) -> dict[str, list[float]]:
        """Return the seconds from each kill to the next settled unit, by what was killed."""
        assert self._sampler is not None
        grew = [moment for moment, _ in self._sampler.grew]
        found: dict[str, list[float]] = {}
        for end in self._ends:
            after = next((moment for moment in grew if moment > end.at), None)
            if end.cause == "kill" and after is not None:
                found.setdefault(end.kind, []).append(after - end.at)
        return found

    def _progress(self) -> None:
        agents = len(self._containers.agents())
        self._most = max(self._most, agents)
        settled = self._sampler.settled if self._sampler is not None else 0
        self._say(
            f"{self._reactor.seconds() - self._began:4.0f} s  settled {settled} of {self._units}; "
            f"{sum(end.cause == 'kill' for end in self._ends)} of {len(self._kinds)} kills; "
            f"{agents} agents run"
        )

    def _thread(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, *arguments)
