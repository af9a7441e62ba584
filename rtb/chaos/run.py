"""One run: a system under a storm, then calm, then what an outsider can see of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool

from rtb.addresses import Broker, Database
from rtb.chaos.coverage import Coverage
from rtb.chaos.evidence import Evidence, read_executions
from rtb.chaos.feeder import Feeder, wishes
from rtb.chaos.outsider import Letter, Outsider
from rtb.chaos.rubbish import late, rubbish
from rtb.chaos.sampler import Sampler
from rtb.chaos.slot import End
from rtb.chaos.storm import Storm
from rtb.chaos.system import Shape, System
from rtb.chaos.tiers import Tier
from rtb.client import Client
from rtb.sandbox import Sandbox

__all__ = ["Outcome", "Run"]

#: Epochs within which a unit in doubt is settled or waits again, and seconds that the broker and
#: the last retry may need.
_EPOCHS = 5
_BROKER_START = 20.0
_RETRIES = 12.0
#: Seconds that a waiting unit is granted when the faults are over.
_PER_UNIT = 0.4
#: Beyond the limit a run waits so long, to tell late from lost.
_PATIENCE = 60.0
_SAY_EVERY = 5.0
#: Seconds that the failpoints left open after the storm may take altogether, and that a role lives
#: that was armed with some, or with none, until it makes room for another life.
_MEETING = 150.0
_ARMED_LIFE = 15.0
_BARE_LIFE = 4.0
#: Meanwhile there is always work: an order so often (s), unless so many units wait.
_FEED_EVERY = 1.5
_ENOUGH = 60
_FORBIDDEN = ("Traceback", "Unhandled")


@attrs.define
class Outcome:
    """What came of a run."""

    seed: int
    evidence: Evidence
    faults: Counter[str]
    ends: list[End]
    #: Seconds from a kill to the next settled unit, by what was killed.
    recoveries: dict[str, list[float]]
    failpoints: Counter[str]
    seconds: float


class Run:
    """Runs *tier* once in *directory*, all chance from *seed*.

    :param sandbox: the private servers, if these are they
    :param needed: how often each failpoint is to be met
    :param say: told of the progress
    """

    def __init__(
        self,
        reactor: Any,
        directory: Path,
        database: Database,
        broker: Broker,
        sandbox: Sandbox | None,
        *,
        tier: Tier,
        seed: int,
        needed: Mapping[str, int],
        say: Callable[[str], None],
        shape: Shape | None = None,
    ) -> None:
        self._reactor = reactor
        self._tier = tier
        self._seed = seed
        self._say = say
        # Each has its own chance, so that none depends on how often another one draws. The seed
        # is printed, for replay.
        self._random, storm, coverage = (
            Random(f"{seed} {whose}")  # noqa: S311
            for whose in ("feeder", "storm", "coverage")
        )
        self._shape = shape or Shape()
        self._sandbox = sandbox
        self._secrets = [text for text in (database.password, broker.password) if text]
        self.evidence = Evidence(bound=self._shape.bound)
        self._outsider = Outsider(database, broker)
        self._system = System(reactor, directory, database, broker, self._shape)
        self._coverage = Coverage(coverage, needed)
        self._storm = Storm(
            reactor,
            self._system,
            sandbox,
            self._outsider,
            storm,
            self.evidence,
            most=4 * self._shape.epoch,
            say=say,
        )
        self._ends: list[End] = []
        self._samplers: list[Sampler] = []
        self._clients: list[Client] = []
        self._began = reactor.seconds()
        self._clock = LoopingCall(self._progress)
        self._clock.clock = reactor

    async def run(self) -> Outcome:
        """Do it."""
        try:
            await self._start()
            await self._weather()
            await self._calm()
            await self._inject()
            await self._finish()
        finally:
            await self._close()
            self._write_notes()
        return Outcome(
            self._seed,
            self.evidence,
            self._storm.counts,
            self._ends,
            self._recoveries(),
            self._coverage.met,
            self._reactor.seconds() - self._began,
        )

    # ---- the course of it

    async def _start(self) -> None:
        await self._system.prepare()
        self._coverage.begin()
        for slot in self._system.slots:
            slot.failpoint = self._coverage.choose
            slot.ended_with = self._ended
        self._system.start()
        for slot in self._system.of_kind("api"):
            port = self._system.ports[slot.name]
            self._samplers.append(Sampler(self._reactor, slot, port, self.evidence.answers))
            self._clients.append(Client(f"http://127.0.0.1:{port}", self._reactor))
        for sampler in self._samplers:
            sampler.start()
        self._clock.start(_SAY_EVERY, now=False)

    async def _weather(self) -> None:
        tier = self._tier
        feeder = Feeder(self._reactor, self._clients, self._random, self.evidence)
        await feeder.go()
        await self._until_working()
        span = tier.gap * sum(tier.faults.values())
        feeding = Deferred.fromCoroutine(
            feeder.feed(wishes(self._random, tier.units, tier.long), span * 0.9)
        )
        counting = LoopingCall(self._count_up)
        counting.clock = self._reactor
        counting.start(1.0)
        await self._storm.blow(tier.faults, tier.gap)
        await feeding
        await self._meet_all(feeder)
        self._coverage.end()
        counting.stop()
        self._storm.settle()
        for slot in self._system.slots:
            if slot.armed:
                slot.kill()
        self.evidence.froze_agents = self._storm.counts["freeze agent"]

    async def _until_working(self) -> None:
        for _ in range(600):
            leaders = [
                answer.leaders
                for answer in self.evidence.answers
                if answer.api == self._samplers[0].slot.name
            ]
            if leaders and leaders[-1]:
                return
            await self._pause(0.1)

    async def _meet_all(self, feeder: Feeder) -> None:
        """Let roles live, work and end until every failpoint that is needed was met."""
        self._coverage.hurry()
        end = self._reactor.seconds() + _MEETING
        fed = 0.0
        while self._coverage.unmet and (now := self._reactor.seconds()) < end:
            settled = max(sampler.settled for sampler in self._samplers)
            if now - fed > _FEED_EVERY and feeder.accepted - settled < _ENOUGH:
                await feeder.feed_more()
                fed = now
            for slot in self._system.slots:
                limit = _ARMED_LIFE if slot.armed else _BARE_LIFE
                old = now - slot.born_at > limit and not slot.ending
                if old and self._coverage.wants(slot):
                    slot.terminate()
            await self._pause(0.25)

    async def _calm(self) -> None:
        evidence = self.evidence
        evidence.calm_at = self._reactor.seconds()
        waiting = len([row for row in await self._try_sql(_UNSETTLED) if row])
        evidence.settle_limit = (
            _EPOCHS * self._shape.epoch
            + _BROKER_START
            + _RETRIES
            + self._tier.long
            + _PER_UNIT * waiting
        )
        self._say(f"calm: {waiting} units to settle within {evidence.settle_limit:.0f} s")
        end = evidence.calm_at + evidence.settle_limit + _PATIENCE
        while self._reactor.seconds() < end:
            if await self._try_sql(_ALL_SETTLED) == [(True,)]:
                evidence.settled_at = self._reactor.seconds()
                return
            await self._pause(0.25)

    async def _inject(self) -> None:
        """Send bad messages, and late ones; all of them must be in ``dead`` and nothing else."""
        strange = await self._thread(self._outsider.take_dead)
        self.evidence.dead_strange += [
            _shown(letter) for letter in strange if not self._injected_in_storm(letter)
        ]
        ledger = await self._thread(self._outsider.ledger_id)
        messages = rubbish(self._random, ledger, "outbox", self._tier.rubbish)
        before = await self._try_sql(_STATE)
        unit, attempt, *_ = before[0]
        await self._thread(
            self._outsider.publish, [*messages, *late(ledger, "outbox", unit, attempt)]
        )
        letters: list[Letter] = []
        for _ in range(60):
            letters += await self._thread(self._outsider.take_dead)
            if len(letters) >= len(messages):
                break
            await self._pause(0.25)
        await self._pause(0.5)
        letters += await self._thread(self._outsider.take_dead)
        self._compare(Counter((bad.key, bad.body) for bad in messages), letters)
        self.evidence.bad_kinds.update(bad.kind for bad in messages)
        if await self._try_sql(_STATE) != before:
            self.evidence.dead_strange.append("a bad or late message changed what the ledger says")

    def _injected_in_storm(self, letter: Letter) -> bool:
        key, body, _ = letter
        return (key, body) in self._storm.injected

    def _compare(self, messages: Counter[tuple[str, bytes]], letters: list[Letter]) -> None:
        self.evidence.dead_expected = sum(messages.values())
        events = 0
        for letter in letters:
            key, body, _ = letter
            if messages[key, body]:
                messages[key, body] -= 1
            elif key == "status":  # an event of a batch, put into words by the ledger's keeper
                events += 1
            else:
                self.evidence.dead_strange.append(_shown(letter))
        missing = [_shown((key, body, "")) for key, body in messages.elements()]
        self.evidence.dead_missing += missing[events:]
        self.evidence.dead_strange += ["an event"] * (events - len(missing))

    async def _finish(self) -> None:
        evidence, system = self.evidence, self._system
        await self._pause(1.0)
        evidence.miscounts += await self._thread(self._outsider.miscounts)
        for kind in ("agent", "leader"):
            await self._stop(kind)
        await self._pause(1.0)  # their last words are applied
        for sampler in self._samplers:
            sampler.stop()
        await self._stop("api")
        queues = [*self._shape.leaders, "inbox"]
        evidence.queues = await self._thread(self._outsider.waiting, queues)
        evidence.flights = await self._thread(self._outsider.flights)
        evidence.units = await self._thread(self._outsider.units)
        evidence.events = await self._thread(self._outsider.events)
        evidence.executions = read_executions(system.executions.read_text().splitlines())
        for slot in system.slots:
            self._read_log(slot.name, slot.log)

    async def _stop(self, kind: str) -> None:
        stopping = [Deferred.fromCoroutine(slot.stop()) for slot in self._system.of_kind(kind)]
        for stopped in stopping:
            await stopped

    async def _close(self) -> None:
        if self._clock.running:
            self._clock.stop()
        for sampler in self._samplers:
            sampler.stop()
        for client in self._clients:
            await client.close()
        await self._system.close()

    # ---- what is noted on the way

    def _ended(self, end: End) -> None:
        self._ends.append(end)
        self._coverage.ended(end)
        if not end.cause:
            self.evidence.crashes.append(f"{end.slot} ended by itself: {end.how}")

    def _count_up(self) -> Deferred[None]:
        async def count() -> None:
            try:
                self.evidence.miscounts += await self._thread(self._outsider.miscounts)
            except Exception as problem:
                self._unseen = type(problem).__name__  # the ledger is under attack

        return Deferred.fromCoroutine(count())

    def _write_notes(self) -> None:
        """Leave what happened when, beside the logs."""
        notes = [(end.at, f"{end.slot} ended: {end.cause or '?'}, {end.how}") for end in self._ends]
        lines = [f"{at:9.2f}  {what}" for at, what in sorted(notes + self._storm.notes)]
        (self._system.directory / "notes.txt").write_text("\n".join(lines) + "\n")

    def _read_log(self, name: str, log: Path) -> None:
        for line in log.read_text(errors="replace").splitlines():
            if any(word in line for word in (*_FORBIDDEN, *self._secrets)):
                self.evidence.log_lines.append(f"{name}: {line[:200]}")

    def _recoveries(self) -> dict[str, list[float]]:
        kills = [(end.at, end.kind) for end in self._ends if end.cause and end.cause != "term"]
        kills += self._storm.server_kills
        grew = sorted(moment for sampler in self._samplers for moment, _ in sampler.grew)
        found: dict[str, list[float]] = {}
        for at, what in kills:
            after = next((moment for moment in grew if moment > at), None)
            if after is not None:
                found.setdefault(what, []).append(after - at)
        return found

    def _progress(self) -> None:
        ends = Counter(end.kind for end in self._ends)
        settled = max((sampler.settled for sampler in self._samplers), default=0)
        self._say(
            f"{self._reactor.seconds() - self._began:4.0f} s  settled {settled} of "
            f"{sum(self.evidence.accepted.values())}; ended: {_counted(ends)}; failpoints to meet: "
            f"{len(self._coverage.unmet)}"
        )

    async def _try_sql(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            rows: list[tuple[Any, ...]] = await self._thread(self._outsider.sql, statement)
        except Exception as problem:
            self._say(f"the ledger does not answer: {type(problem).__name__}")
            return []
        return rows

    def _thread(self, work: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work, *arguments)

    def _pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds, lambda: None)


#: One row per unit: all that a message could change.
_STATE = """
SELECT u.id, u.attempt, u.status::text, u.active, u.round, u.losses, u.failures, u.result::text,
       (SELECT count(*) FROM events e WHERE e.unit_id = u.id)
  FROM units u WHERE u.attempt > 0 ORDER BY u.id
"""
_UNSETTLED = "SELECT 1 FROM units WHERE status NOT IN ('success', 'error', 'cancelled')"
_ALL_SETTLED = """
SELECT count(*) > 0 AND count(*) FILTER (WHERE status NOT IN ('success', 'error', 'cancelled')) = 0
  FROM units
"""


def _shown(letter: Letter) -> str:
    key, body, reason = letter
    return f"{key} {body[:120]!r} {reason[:80]}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
