"""The agent: takes units from the leader of its box, runs them in slots, says what became of them.

It says its whole state to the leader, when it changes and every 5 s, and each unit's news to the
inbox. A unit is held until the broker has its news. Without a leader running units go on, and the
agent vouches for them itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb import failpoint
from rtb.agent.bulletin import Bulletin
from rtb.agent.courier import Courier
from rtb.agent.departure import Departure
from rtb.agent.identity import Identity
from rtb.agent.slots import Holding, Slots, Stage
from rtb.agent.workloads import Already, Failed, Outcome, Stopped, Succeeded, Workload
from rtb.broker import BrokerClient, Delivery, Session
from rtb.broker.post import Post
from rtb.broker.reading import read
from rtb.broker.topology import private
from rtb.model.names import new_incarnation
from rtb.model.pace import Pace
from rtb.model.wire import (
    Control,
    Ended,
    Gave,
    Presence,
    Roll,
    StatusKind,
    Track,
    Unit,
    UnitKey,
    Work,
)

__all__ = ["Agent"]

_PREFETCH = 200
#: Seconds that units have between SIGTERM and SIGKILL when the agent's patience is over ...
_GRACE = 0.5
#: ... and that the broker has to confirm what became of them.
_LAST_WORDS = 1.2


class Agent(Service):
    """Runs units for a box.

    :param workloads: by name; what it offers
    :param drain_timeout: seconds that running units have when it is told to end; 0: no limit
    :param alone: seconds without work and without a leader after which it ends itself; 0: never
    :param end: ends this process in an orderly way
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        client: BrokerClient,
        identity: Identity,
        workloads: Mapping[str, Workload],
        *,
        slots: int,
        drain_timeout: float,
        pace: Pace,
        random_bytes: Callable[[int], bytes],
        alone: float = 0.0,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._departure = Departure(reactor, alone=alone, end=end)
        self._identity = identity
        self._workloads = workloads
        self._slots = Slots(slots)
        self._drain_timeout = drain_timeout
        self._pace = pace
        self.incarnation = new_incarnation(random_bytes)
        self._post = Post(self.incarnation)
        self._courier = Courier(
            reactor,
            client,
            self._post,
            box=identity.box,
            source=self.incarnation,
            name=identity.name,
            confirmed=self._confirmed,
        )
        self._bulletin = Bulletin(reactor, client, self._post, self._slots, self._state)
        self._beat = LoopingCall(self._tick)
        self._beat.clock = reactor
        self._presence = Presence.READY
        self._ledger = ""
        self._leader = ""
        self._heard = 0
        self._leader_at = 0.0
        self._seq = 0
        self._session = 0
        self._refusal = ""
        self._emptied: list[Deferred[None]] = []
        client.on_session(self._began)

    # ---- life

    @property
    def presence(self) -> Presence:
        """How it sees itself."""
        return self._presence

    @property
    def busy(self) -> int:
        """How many of its slots are taken."""
        return self._slots.taken

    @property
    def held(self) -> int:
        """How many units it holds: also those that ended, until the broker has their news."""
        return len(self._slots)

    def startService(self) -> None:
        """Begin to say its state."""
        super().startService()
        self._leader_at = self._reactor.seconds()
        self._beat.start(self._pace.roll / 2, now=False)
        self._log.info(
            "agent {name} ({incarnation}): {slots} slots for box {box}; offers {workloads}",
            name=self._identity.name,
            incarnation=self.incarnation,
            slots=self._slots.most,
            box=self._identity.box,
            workloads=", ".join(sorted(self._workloads)),
        )

    def stopService(self) -> Deferred[None]:
        """Take nothing new, let units finish, return what does not finish in time, say goodbye."""
        super().stopService()
        return Deferred.fromCoroutine(self._leave())

    def drain(self) -> None:
        """Take nothing new; what runs goes on."""
        if self._presence is Presence.READY:
            self._log.info("drains: {held} units to finish", held=self.held)
            self._presence = Presence.DRAINING
            self._bulletin.now()

    def hurry(self) -> None:
        """Wait no longer for running units: end them and give them back."""
        self._give_back_running(0.0)
        self._reactor.callLater(_LAST_WORDS, self._emptied_or_not)

    async def _leave(self) -> None:
        self.drain()
        timers = []
        if self._drain_timeout:
            later, last = self._drain_timeout, self._drain_timeout + _GRACE + _LAST_WORDS
            timers = [
                self._reactor.callLater(later, self._give_back_running, _GRACE),
                # Without a broker nothing is confirmed: vouching will tell.
                self._reactor.callLater(last, self._emptied_or_not),
            ]
        await self._when_empty()
        for timer in timers:
            if timer.active():
                timer.cancel()
        if self._beat.running:
            self._beat.stop()
        self._departure.stop()
        await self._bulletin.stop()
        self._presence = Presence.GONE
        if self._client.can_publish:
            await self._bulletin.last_word()
        await DeferredList([workload.close() for workload in set(self._workloads.values())])

    def _when_empty(self) -> Deferred[None]:
        emptied: Deferred[None] = Deferred()
        if len(self._slots):
            self._emptied.append(emptied)
        else:
            emptied.callback(None)
        return emptied

    # ---- what comes in

    async def _began(self, session: Session) -> None:
        self._session = session.number
        name, box = f"work.{self.incarnation}", self._identity.box
        await session.declare(*private(name, name, f"roll.{box}", f"control.{box}"))
        await session.consume(name, self._received, prefetch=_PREFETCH)
        self._bulletin.now()

    def _received(self, delivery: Delivery) -> None:
        who = f"agent {self._identity.name}"
        match read(self._client, delivery, who, Work, Roll, Control):
            case Roll() as roll:
                self._rolled(roll)
            case Work() as work:
                self._worked(work)
            case Control() as control:
                self._controlled(control)

    def _rolled(self, roll: Roll) -> None:
        self._leader_at = self._reactor.seconds()
        if roll.leader != self._leader:
            self._leader, self._heard = roll.leader, 0
            self._bulletin.now()
        self._meet(roll.ledger)
        if roll.call:
            self._bulletin.now()

    def _worked(self, work: Work) -> None:
        if not self._leader:
            self._leader = work.leader
        if work.leader != self._leader:
            # Whoever leads now does not know of it, and the ledger may have closed it.
            for unit in work.give:
                self._return(work.ledger, unit, Gave.SUPERSEDED)
            return
        self._leader_at = self._reactor.seconds()
        self._heard = work.number
        self._meet(work.ledger)
        if work.leave:
            self._leave_leader()
        elif work.goodbye != self._refusal:
            self._refusal = work.goodbye
            if work.goodbye:
                self._log.warn("the leader gives it no work: {why}", why=work.goodbye)
        if work.give:
            failpoint.hit("g1")
        for unit in work.give:
            self._take(work.ledger, unit)
        self._courier.send()
        for key in work.drop:
            self._drop(key)
        if work.give:
            self._bulletin.changed()
        else:
            self._bulletin.now()

    def _leave_leader(self) -> None:
        """Finish what runs, then be gone: whoever launched this agent ends it."""
        self.drain()
        self._when_empty().addCallback(self._left)

    def _left(self, _: None) -> None:
        if self._presence is Presence.DRAINING and self.running:
            self._presence = Presence.GONE
            self._departure.left()
        self._bulletin.now()

    def _controlled(self, control: Control) -> None:
        self._meet(control.ledger)
        for key in control.closed:
            self._drop(key)
        if self.incarnation in control.draining:
            self.drain()

    def _meet(self, ledger: str) -> None:
        """Units of another ledger than *ledger* are nobody's any more.

        A leader that has not heard of the API yet does not know its ledger, and names none.
        """
        if ledger in ("", self._ledger):
            return
        if self._ledger:
            self._log.warn("the ledger is another one now: dropped what was of the last one")
        self._ledger = ledger
        for holding in self._slots:
            if holding.ledger != ledger:
                self._drop(holding.unit.key)

    # ---- units

    def _take(self, ledger: str, unit: Unit) -> None:
        workload = self._workloads.get(unit.workload)
        if unit.key in self._slots:
            return
        if self._presence is not Presence.READY or not self._slots.free:
            self._return(ledger, unit, Gave.DRAINED)
            return
        if workload is None:
            self._return(ledger, unit, Gave.REFUSED)
            return
        holding = Holding(unit, ledger, self._reactor.seconds())
        self._slots.add(holding)
        failpoint.hit("g2")
        holding.running = running = workload.start(unit)
        failpoint.hit("g3")
        if isinstance(running, Already):
            self._say_ended(holding, running.outcome)
            return
        self._courier.say(ledger, StatusKind.PROCESSING, Ended(*unit.key))
        done = running.done.addCallback(lambda outcome: self._ended(holding, outcome))
        done.addErrback(self._broken)

    def _ended(self, holding: Holding, outcome: Outcome) -> None:
        if holding.stage is Stage.DROPPED:
            self._let_go([holding.unit.key])
        else:
            self._say_ended(holding, outcome)
            # Its slot is free at once; what it held is held until the broker has its news.
            self._bulletin.changed()

    def _say_ended(self, holding: Holding, outcome: Outcome) -> None:
        ran = self._reactor.seconds() - holding.since
        key = holding.unit.key
        match outcome:
            case Succeeded(result=result):
                kind, news = StatusKind.SUCCESS, Ended(*key, ran=ran, result=msgspec.Raw(result))
            case Failed(why=why, output=output, permanent=permanent):
                kind = StatusKind.ERROR if permanent else StatusKind.FAILED
                news = Ended(*key, ran=ran, why=why, output=output)
            case Stopped():
                kind, news = StatusKind.RETURNED, Ended(*key, ran=ran, why=Gave.DRAINED)
        self._slots.end(holding)
        failpoint.hit("g4")
        self._courier.say(holding.ledger, kind, news)

    def _confirmed(self, kind: StatusKind, keys: list[UnitKey]) -> None:
        """The broker has the news of *keys*: only now does the agent not hold them any more."""
        if kind in (StatusKind.PROCESSING, StatusKind.HOLDING):
            return
        failpoint.hit("g6")
        self._let_go(keys)

    def _let_go(self, keys: list[UnitKey]) -> None:
        for key in keys:
            self._slots.remove(key)
        self._bulletin.changed()
        if not len(self._slots):
            self._emptied_or_not()

    def _emptied_or_not(self) -> None:
        emptied, self._emptied = self._emptied, []
        for waiting in emptied:
            waiting.callback(None)

    def _return(self, ledger: str, unit: Unit, cause: Gave) -> None:
        """Give back what never started here."""
        self._courier.say(ledger, StatusKind.RETURNED, Ended(*unit.key, why=cause))

    def _drop(self, key: UnitKey) -> None:
        """End a unit whose attempt is closed; there is nothing to say of it."""
        holding = self._slots.get(key)
        if holding is not None and holding.stage is Stage.RUNNING:
            holding.stage = Stage.DROPPED
            if holding.running is not None:
                holding.running.stop(_GRACE)

    def _give_back_running(self, grace: float) -> None:
        for holding in self._slots.running:
            if holding.running is not None:
                holding.running.stop(grace)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("a workload broke its contract", failure)

    # ---- words

    def _tick(self) -> None:
        now = self._reactor.seconds()
        if now - self._bulletin.said_at >= self._pace.track:
            self._bulletin.now()
        if self.running:
            self._departure.consider(len(self._slots), now - self._leader_at)
        if now - self._leader_at >= self._pace.leaderless:
            for holding in self._slots:
                if holding.stage is not Stage.DROPPED:
                    self._courier.say(holding.ledger, StatusKind.HOLDING, Ended(*holding.unit.key))

    def _state(self) -> Track:
        self._seq += 1
        identity = self._identity
        return Track(
            ledger=self._ledger,
            box=identity.box,
            agent=self.incarnation,
            name=identity.name,
            host=identity.host,
            pid=identity.pid,
            presence=self._presence,
            seq=self._seq,
            session=self._session,
            leader=self._leader,
            heard=self._heard,
            slots=self._slots.most,
            workloads=sorted(self._workloads),
            holding=[holding.held for holding in self._slots],
            container=identity.container,
            ended=self._slots.ended,
        )
