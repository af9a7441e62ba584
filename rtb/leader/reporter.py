"""Says what the leader holds: at once what is new, everything twice an epoch.

Only one report is under way at a time; what arrives meanwhile goes with the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb import failpoint
from rtb.broker import BrokerClient, BrokerError
from rtb.broker.post import Post
from rtb.leader.doubt import Doubt
from rtb.leader.fleet import Fleet
from rtb.leader.register import Register
from rtb.model.fill import Fill
from rtb.model.pace import Pace
from rtb.model.tracker import Tracker
from rtb.model.wire import Report, UnitKey, parts
from rtb.pulse import Pulse

__all__ = ["Reported", "Reporter"]

#: Seconds after which a change of numbers alone is reported.
_STATE_EVERY = 1.0


class Reported(Protocol):
    """Whose state is reported."""

    box: str
    leader: str
    ledger: str
    tracker: Tracker
    register: Register
    fleet: Fleet
    doubt: Doubt


class Reporter:
    """Publishes the reports of *reign*.

    :param confirmed: told which new units a confirmed report named
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        client: BrokerClient,
        post: Post,
        reign: Reported,
        confirmed: Callable[[list[UnitKey]], None],
        pace: Pace,
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._post = post
        self._reign = reign
        self._confirmed = confirmed
        self._number = 0
        self._begun = False
        self._new: list[UnitKey] = []
        self._said: tuple[object, ...] = ()
        self._numbers_said = (0, 0)
        self._said_at = 0.0
        self._fill = Fill(reactor.seconds())
        self._full_due = reactor.seconds()
        self._full_every = pace.full_report
        self._pulse = Pulse(self._work, self._failed)
        self._clock = LoopingCall(self._pulse.kick)
        self._clock.clock = reactor

    async def hello(self) -> None:
        """Begin the box, or take it over: without a ledger, this vouches for nothing.

        Said again until a ledger is known: neither these words nor the answer to them need arrive,
        and a leader that waited for it for ever would keep the box from every other one.
        """
        if not self._clock.running:
            self._clock.start(min(_STATE_EVERY, self._full_every / 2), now=False)
        self._full_due = self._reactor.seconds() + self._full_every
        await self._publish(self._make([], hello=True))

    async def first(self) -> None:
        """Name everything held, as the first words of this incarnation."""
        self._begun = True
        await self._publish_full(first=True)

    async def goodbye(self) -> None:
        """Say that nobody leads the box from now on."""
        await self._publish(self._make([], gone=True))

    def announce(self, keys: list[UnitKey]) -> None:
        """Report *keys* at once, or as soon as the report under way is confirmed."""
        self._new += keys
        self._pulse.kick()

    def changed(self) -> None:
        """Note the new fill."""
        tracker = self._reign.tracker
        self._fill.set(min(1.0, tracker.queued / tracker.capacity), self._reactor.seconds())

    def stop(self) -> None:
        """Report nothing more."""
        if self._clock.running:
            self._clock.stop()
        self._pulse.stop()

    async def _work(self) -> None:
        if not self._begun:
            if not self._reign.ledger and self._reactor.seconds() >= self._full_due:
                await self.hello()
            return
        if self._reactor.seconds() >= self._full_due:
            await self._publish_full(first=False)
        while self._new:
            new, self._new = self._new, []
            for part in parts(new):
                await self._publish(self._make(part))
                self._confirmed(part)
        if self._state() != self._said:
            await self._publish_full(first=False)
        elif (
            self._numbers() != self._numbers_said
            and self._reactor.seconds() - self._said_at >= _STATE_EVERY
        ):
            await self._publish(self._make([]))

    async def _publish_full(self, *, first: bool) -> None:
        self._full_due = self._reactor.seconds() + self._full_every
        new, self._new = self._new, []
        keys = [entry.key for entry in self._reign.tracker]
        pieces = list(parts(keys)) or [[]]
        for number, piece in enumerate(pieces, 1):
            report = self._make(piece)
            report.full, report.first = True, first
            report.part, report.parts = number, len(pieces)
            report.agents = self._reign.fleet.states()
            await self._publish(report)
        self._confirmed(new)

    async def _publish(self, report: Report) -> None:
        publishing = self._client.publish_surely(self._post.status(report))
        if report.units:
            failpoint.hit("l3")
        await publishing

    def _state(self) -> tuple[object, ...]:
        """Return what is worth a report when it changes: who is there."""
        agents = tuple(
            (agent.track.agent, agent.track.presence, agent.standing, agent.track.slots)
            for agent in self._reign.register
        )
        return agents, msgspec.to_builtins(self._reign.fleet.launching())

    def _numbers(self) -> tuple[int, int]:
        return self._reign.tracker.queued, self._reign.tracker.running

    def _make(self, units: list[UnitKey], *, hello: bool = False, gone: bool = False) -> Report:
        self._number += 1
        self._said = self._state()
        self._numbers_said, self._said_at = self._numbers(), self._reactor.seconds()
        reign = self._reign
        return Report(
            ledger="" if hello else reign.ledger,
            box=reign.box,
            leader=reign.leader,
            number=self._number,
            gone=gone,
            capacity=reign.tracker.capacity,
            queued=reign.tracker.queued,
            utilization=round(self._fill.read(self._reactor.seconds()), 4),
            slots=reign.register.slots,
            busy=reign.register.busy(self._reactor.seconds()),
            workloads=reign.register.workloads,
            units=units,
            asks=reign.doubt.named(self._number, units),
            launcher=reign.fleet.launching(),
        )

    def _failed(self, failure: Failure) -> None:
        failure.trap(BrokerError)  # this process stops
        self._log.debug("not reported: {why}", why=failure.getErrorMessage())
