"""One life of a leader: from taking the lock of a box to losing the session that holds it.

A leader that takes over knows nothing. It calls the roll, waits for the agents to say what they
run, reports that, and only then takes units from the box; so no running unit is given up, and no
unit is handed out twice.
"""

from __future__ import annotations

import heapq
from enum import Enum, auto
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb import failpoint
from rtb.broker import BrokerClient, BrokerError, Delivery, Returned, Session
from rtb.broker.post import Post
from rtb.broker.reading import read
from rtb.leader.doubt import Doubt
from rtb.leader.letters import Letters
from rtb.leader.register import Agent, Register, Standing
from rtb.leader.reporter import Reporter
from rtb.leader.returns import Returns
from rtb.leader.staff import Staff
from rtb.model.pace import Pace
from rtb.model.tracker import Place, Tracker
from rtb.model.wire import (
    Control,
    Gave,
    Out,
    Presence,
    Roll,
    StatusKind,
    Track,
    Unit,
    UnitKey,
    Work,
    parts,
)

__all__ = ["Reign"]

#: Seconds that agents have to answer a roll call.
ROLL_WAIT = 1.5
#: Messages of the box that may wait unacked: a full tracker leaves them there.
_BOX_PREFETCH = 64


class _Phase(Enum):
    CALLING = auto()
    LEADING = auto()
    #: Hands out nothing any more.
    OVER = auto()


class Reign:
    """Leads *box* as incarnation *leader* for as long as *session* lives.

    :param reactor: its timers
    :param capacity: N
    :param staff: keeps agents for it
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        client: BrokerClient,
        session: Session,
        *,
        box: str,
        leader: str,
        capacity: int,
        pace: Pace,
        staff: Staff,
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._session = session
        self._post = Post(leader)
        self._returns = Returns(client, self._post, box, leader)
        self.box = box
        self.leader = leader
        self.ledger = ""
        self.tracker = Tracker(capacity)
        self.register = Register(self.tracker, pace.silent)
        self._pace = pace
        self._phase = _Phase.CALLING
        self._letters = Letters()
        self.doubt = Doubt()
        #: When it last looked at the clock; until when it doubts what comes.
        self._looked, self._unsure_until = reactor.seconds(), 0.0
        self._ledger_known: Deferred[None] = Deferred()
        self.fleet = staff.fleet(
            reactor,
            self.register,
            self.tracker,
            dismiss=self._dismiss,
            exited=self._exited,
            changed=self._changed,
        )
        self._reporter = Reporter(reactor, client, self._post, self, self._reported, pace)
        self._beat = LoopingCall(self._tick)
        self._beat.clock = reactor

    # ---- beginning and end

    async def begin(self) -> None:
        """Call the roll, meet the ledger, report what is held, and take units from the box."""
        # Before the roll: who is adopted may end while others still answer.
        self.fleet.begin()
        self._roll(call=True)
        self._beat.start(self._pace.roll, now=False)
        await self._reporter.hello()
        await deferLater(self._reactor, ROLL_WAIT, lambda: None)
        await self._ledger_known
        if self._phase is _Phase.OVER:
            return
        await self._reporter.first()
        self._phase = _Phase.LEADING
        await self._session.consume(self.box, self._arrived, prefetch=_BOX_PREFETCH)
        self._log.info(
            "leads box {box} as {leader}: {agents} agents, {units} units held",
            box=self.box,
            leader=self.leader,
            agents=len(list(self.register)),
            units=len(list(self.tracker)),
        )

    def end(self) -> None:
        """Hand out nothing more, from now on: somebody else may lead."""
        self.fleet.end()
        self._phase = _Phase.OVER
        if not self._ledger_known.called:
            self._ledger_known.callback(None)  # nobody shall wait for it any more
        self._reporter.stop()
        if self._beat.running:
            self._beat.stop()

    async def resign(self) -> None:
        """Say goodbye, and give back what no agent has."""
        if self._phase is not _Phase.LEADING:
            self.end()
            return
        self.fleet.resign()
        self.end()
        await self._reporter.goodbye()
        await self._returns.give_back(self.ledger, self._unstarted(), Gave.STOPPED)

    def _unstarted(self) -> list[UnitKey]:
        mine = (Place.ANNOUNCED, Place.STORED)
        return [entry.key for entry in self.tracker if entry.place in mine]

    # ---- what comes in

    def tracked(self, delivery: Delivery) -> None:
        """An agent said its state."""
        if (track := self._read(delivery, Track)) is not None and self._phase is not _Phase.OVER:
            self.fleet.hears(track)
            missing = self.register.heard(track, self.leader, self.ledger, self._reactor.seconds())
            self._lost_on_the_way(missing)
            self.fleet.heard(track)
            self._refuse_if_strange(track)
            self._changed()

    def controlled(self, delivery: Delivery) -> None:
        """The API said the box's state."""
        if (control := self._read(delivery, Control)) is None or self._phase is _Phase.OVER:
            return
        if self.leader in control.refused:
            # It will never be adopted again; the next life will.
            self._log.warn("the ledger has another leader of box {box}", box=self.box)
            self._session.close("the ledger takes another one for the leader")
            return
        if control.ledger != self.ledger:
            self._met(control.ledger)
        self.tracker.weigh(control.weights)
        for key in control.closed:
            self._drop(key)
        if control.leader == self.leader:
            answered = self.doubt.answered(control.answered)
            self.tracker.store(key for key in answered if not self._letters.is_unreported(key))
        self.fleet.controlled(control)
        if control.recalled and not self.register.slots:
            self._give_all_back(Gave.RECALLED)
        self._changed()

    def _arrived(self, delivery: Delivery) -> None:
        """Units came for the box."""
        failpoint.hit("l1")
        out = self._read(delivery, Out, ack=False)
        if out is None:
            return
        if out.ledger != self.ledger:
            self._log.warn("units of ledger {ledger} are not for this one", ledger=out.ledger)
            delivery.ack()
            return
        strange = [unit for unit in out.units if unit.key not in self.tracker]
        if delivery.redelivered:
            # Somebody may have stored them and handed them out: not run here.
            self._returns.say(self.ledger, [unit.key for unit in strange], Gave.REDELIVERED)
            strange = []
        if out.leader not in ("", self.leader):
            self.doubt.add(unit.key for unit in strange)
        self._letters.add(delivery, strange)
        self._admit()

    def _read(self, delivery: Delivery, kind: type[Any], *, ack: bool = True) -> Any:
        return read(self._client, delivery, f"leader of {self.box}", kind, ack=ack)

    # ---- units in

    def _admit(self) -> None:
        """Store what there is room for; the rest stays unacked."""
        self._look_at_the_clock()
        if units := self._letters.take(self.tracker.room):
            if self._looked < self._unsure_until:
                self.doubt.add(unit.key for unit in units)
            for unit in units:
                self.tracker.arrive(unit)
            failpoint.hit("l2")
            self._reporter.announce([unit.key for unit in units])

    def _reported(self, keys: list[UnitKey]) -> None:
        """A report that names *keys* is confirmed: ack their messages, then hand them out."""
        if keys:
            failpoint.hit("l4")
        self._letters.reported(keys)
        self.tracker.store(self.doubt.undoubted(keys))
        self._changed()

    # ---- units out

    def _changed(self) -> None:
        """Places or units may have become free."""
        if self._phase is not _Phase.LEADING:
            return
        self._admit()
        self.fleet.adjust()
        if self.tracker.stored:  # else nobody looks at the agents, who may be many
            self._hand_out()
        self._reporter.changed()

    def _hand_out(self) -> None:
        free = self.register.free(self._reactor.seconds())
        units = self.tracker.take(sum(places for _, places in free))
        if not units:
            return
        failpoint.hit("l6")
        shares: list[list[Unit]] = [[] for _ in free]
        most_free = [(-places, number) for number, (_, places) in enumerate(free)]
        heapq.heapify(most_free)
        for unit in units:  # to whoever has the most free slots
            places, number = most_free[0]
            shares[number].append(unit)
            heapq.heapreplace(most_free, (places + 1, number))
        for (agent, _), share in zip(free, shares, strict=True):
            for part in parts(share):
                self._give(agent, part)

    def _give(self, agent: Agent, units: list[Unit]) -> None:
        number = self._send(agent, give=units)
        self.tracker.give(units, agent.track.agent, number, agent.track.session)
        failpoint.hit("l7")

    def _send(
        self,
        agent: Agent,
        *,
        give: list[Unit] | None = None,
        drop: list[UnitKey] | None = None,
        goodbye: str = "",
        leave: bool = False,
    ) -> int:
        agent.number += 1
        message = Work(
            ledger=self.ledger,
            box=self.box,
            leader=self.leader,
            number=agent.number,
            give=give or [],
            drop=drop or [],
            goodbye=goodbye,
            leave=leave,
        )
        self._client.publish(self._post.work(agent.track.agent, message)).addErrback(
            self._unreached, agent, message.give
        )
        return message.number

    def _unreached(self, failure: Failure, agent: Agent, units: list[Unit]) -> None:
        failure.trap(BrokerError)
        self._log.debug(
            "not said to {agent}: {why}", agent=agent.track.name, why=failure.getErrorMessage()
        )
        if failure.check(Returned):
            # This hand-out was not received; it proves nothing about the process.
            self._lost_on_the_way([unit.key for unit in units if unit.key in self.tracker])
            self.register.unreached(agent)

    def _lost_on_the_way(self, keys: list[UnitKey]) -> None:
        for key in keys:
            self.tracker.remove(key)
        self._returns.say(self.ledger, keys, Gave.UNREACHED)

    def _drop(self, key: UnitKey) -> None:
        entry = self.tracker.remove(key)
        agent = self.register.get(entry.agent) if entry is not None else None
        if agent is not None:
            self._send(agent, drop=[key])
        self._letters.drop(key)
        self.doubt.forget(key)

    def _give_all_back(self, cause: Gave) -> None:
        """Give back what no agent has, also what waits in messages of the box."""
        keys = self._unstarted()
        for key in keys:
            self.tracker.remove(key)
        keys += self._letters.clear()
        self.doubt.clear()
        self._returns.say(self.ledger, keys, cause)

    def _refuse_if_strange(self, track: Track) -> None:
        agent = self.register.get(track.agent)
        if agent is not None and agent.standing is Standing.REFUSED:
            lacks = sorted(set(self.register.workloads) - set(track.workloads))
            self._send(agent, goodbye=f"the box's agents offer {', '.join(lacks)} as well")

    # ---- words

    def _met(self, ledger: str) -> None:
        """Take *ledger* for the one whose units these are; drop what another one had here."""
        if self.ledger:
            self._log.warn("the ledger is another one now: dropped all that was held")
            self.tracker.clear()
            self._letters.clear()
            self.doubt.clear()
        self.ledger = ledger
        if self._phase is _Phase.LEADING:
            Deferred.fromCoroutine(self._reporter.first()).addErrback(self._unsaid)
        elif not self._ledger_known.called:
            self._ledger_known.callback(None)

    def _look_at_the_clock(self) -> None:
        """Doubt what was stored before this process stood still, and what came meanwhile.

        Not by the timer alone: when it wakes, what has come is read before timers run.
        """
        now = self._reactor.seconds()
        if now - self._looked >= 2 * self._pace.epoch:
            self._unsure_until = now + self._pace.epoch
            self.doubt.add(doubted := self.tracker.doubt())
            self._reporter.announce(doubted)
        self._looked = now

    def _tick(self) -> None:
        self._look_at_the_clock()
        now = self._reactor.seconds()
        for name in self.register.prune(now):
            self._log.warn("agent {name} has been silent for a minute: forgotten", name=name)
        self._roll(call=False)
        self.fleet.remind()
        for agent in self.register:
            if agent.standing is Standing.WELCOME and agent.silent(now) >= self._pace.roll:
                self._send(agent)  # is its queue still there?
        self._changed()

    def _roll(self, *, call: bool) -> None:
        roll = Roll(ledger=self.ledger, box=self.box, leader=self.leader, call=call)
        self._client.publish(self._post.roll(roll)).addErrback(self._unsaid)

    def _dismiss(self, agent: Agent) -> None:
        self._send(agent, goodbye="fewer agents are wanted", leave=True)

    def _exited(self, agent: Agent, how: str) -> None:
        """A witness saw *agent*'s process end: nothing of what it had can come any more."""
        asked = agent.standing is Standing.LEAVING or agent.track.presence is not Presence.READY
        keys = self.register.ended(agent)
        self._log.info(
            "{name} ended with {n} units: {how}", name=agent.track.name, n=len(keys), how=how
        )
        ledger = self.ledger or agent.track.ledger
        # Who was asked to end, by whomever, is not to blame for what it had to leave.
        said = (Gave.DRAINED, StatusKind.RETURNED) if asked else (Gave.EXITED, StatusKind.LOST)
        self._returns.say(ledger, keys, *said)
        self._changed()

    def _unsaid(self, failure: Failure) -> None:
        failure.trap(BrokerError)
        self._log.debug("not said: {why}", why=failure.getErrorMessage())
