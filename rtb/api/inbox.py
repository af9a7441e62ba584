"""Applies what leaders and agents say to the ledger: in delivery order, one flush at a time.

A delivery is acked only after its row is committed. What cannot be used goes to the dead letters
with its reason, alone: it costs none of its neighbours.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb import failpoint
from rtb.api.applier import Applier
from rtb.broker import BrokerClient, BrokerError, Delivery, Session
from rtb.broker.post import Post
from rtb.errors import RtbError
from rtb.ledger import Books, LedgerError
from rtb.model.wire import (
    Barrier,
    NewerVersionError,
    Report,
    Status,
    WireError,
    decode,
)
from rtb.pulse import Pulse

__all__ = ["Inbox"]

_QUEUE = "inbox"
_PREFETCH = 400
#: Units that one flush may speak of: with more, all that is in flight would go round as one, and
#: PostgreSQL, leader and agent would wait for each other.
_FLUSH_UNITS = 800
#: Seconds that `queued` alone waits for what may follow: the bound counts it as it does `sent`, and
#: what starts or ends meanwhile makes it one change to the unit instead of two.
_GATHER = 0.005
#: Flushes that may wait for what follows, with all their messages unacked.
_FLUSHES_WAIT = 20
#: Seconds before a flush that the ledger did not take is tried again.
_RETRY = 0.2
_RETRY_MOST = 1.0


@attrs.frozen
class _Letter:
    """A delivery with what it says; ``problem`` instead where it says nothing usable."""

    delivery: Delivery
    message: Report | Status | Barrier | None
    problem: str = ""

    @property
    def size(self) -> int:
        return len(self.message.units) if isinstance(self.message, (Report, Status)) else 1

    @property
    def can_wait(self) -> bool:
        """Does it only say that units are queued, by a leader that the ledger has met?"""
        match self.message:
            case Report(full=False, first=False, gone=False, asks=False, ledger=ledger):
                return bool(ledger)
            case _:
                return False

    @property
    def asks(self) -> bool:
        """Does it want all that was said to be booked?"""
        return not isinstance(self.message, Status) and not self.can_wait

    @property
    def ends_flush(self) -> bool:
        """Must all before it be applied, and nothing after it, when its turn comes?"""
        match self.message:
            case Barrier():
                return True
            case Report(first=True, part=part, parts=parts):
                return part == parts
            case _:
                return False


class Inbox(Service):
    """The holder of the single active consumer on ``inbox``.

    :param reactor: its timers
    :param client: consumes, and buries dead letters
    :param applier: books a flush
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, client: BrokerClient, books: Books, post: Post, applier: Applier
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._books = books
        self._post = post
        self._applier = applier
        self._letters: deque[_Letter] = deque()
        self._session: Session | None = None
        self._pulse = Pulse(self._flush, self._failed)
        self._gathering: IDelayedCall | None = None
        #: The last delivery of each flush that may have left something for a later one.
        self._unacked: deque[tuple[int, Delivery]] = deque()
        self._orphans = Pulse(self._ask_for_orphans, self._not_asked)
        #: Why this API cannot apply what came, for readiness; empty when it can.
        self.problem = ""

    async def began(self, session: Session) -> None:
        """Consume for as long as *session* lives."""
        # What an earlier session left unapplied is delivered again, to whoever is active then.
        self._letters.clear()
        self._unacked.clear()
        self._applier.began()
        self._session = session
        if self.problem:
            return
        await session.consume(
            _QUEUE, lambda delivery: self._received(session, delivery), prefetch=_PREFETCH
        )
        self._orphans.kick()

    async def stopService(self) -> None:
        """Apply no more than the flush under way; the rest stays the broker's."""
        super().stopService()
        self._letters.clear()
        if self._gathering is not None and self._gathering.active():
            self._gathering.cancel()
        await self._pulse.stop()

    async def _ask_for_orphans(self) -> None:
        """Ask once a session, when the ledger is there: it costs no session that it is not."""
        session = self._session
        while session is self._session and self.running:
            try:
                await self._applier.ask_for_orphans()
            except LedgerError as problem:
                self._log.debug("orphans wait: {why}", why=str(problem))
                await deferLater(self._reactor, _RETRY_MOST, lambda: None)
            else:
                return

    def _not_asked(self, failure: Failure) -> None:
        # This process stops, or the next session asks.
        failure.trap(RtbError, BrokerError)
        self._log.debug("orphans not asked for: {why}", why=failure.getErrorMessage())

    def _received(self, session: Session, delivery: Delivery) -> None:
        if session is not self._session or self.problem:
            return
        try:
            message = decode(delivery.routing_key, delivery.body)
        except NewerVersionError as problem:
            # Left unacked, with all behind it: an API that knows this version may take over.
            self.problem = f"the inbox holds a message of {problem}: upgrade this API"
            self._log.error("{problem}", problem=self.problem)
            session.close("a message of a newer version")
            return
        except WireError as problem:
            self._letters.append(_Letter(delivery, None, str(problem)))
        else:
            if isinstance(message, (Report, Status, Barrier)):
                self._letters.append(_Letter(delivery, message))
            else:
                why = f"{type(message).__name__} does not belong into the inbox"
                self._letters.append(_Letter(delivery, None, why))
        if not self._letters[-1].can_wait:
            self._pulse.kick()
        else:
            self._kick_soon()

    def _kick_soon(self) -> None:
        if self._gathering is None or not self._gathering.active():
            self._gathering = self._reactor.callLater(_GATHER, self._pulse.kick)

    def _take(self) -> list[_Letter]:
        batch: list[_Letter] = []
        units = 0
        while self._letters:
            letter = self._letters[0]
            size = 0 if letter.can_wait else letter.size
            if batch and units + size > _FLUSH_UNITS:
                break
            batch.append(self._letters.popleft())
            units += size
            if letter.ends_flush:
                break
        return batch

    async def _flush(self) -> None:
        session = self._session
        batch = self._take()
        while session is self._session and (batch or self._applier.patience):
            failpoint.hit("a6")
            await self._apply(batch)
            failpoint.hit("a9")
            for letter in batch:
                if letter.problem:
                    await self._bury(letter)
            if session is self._session:
                self._ack(batch)
            self._applier.flushed(sum(letter.size for letter in batch))
            if self._applier.patience and not self._letters:
                self._kick_soon()
                return
            batch = self._take()

    def _ack(self, batch: list[_Letter]) -> None:
        """Ack what came up to the last flush of which nothing waits to be booked."""
        patience = self._applier.patience
        if batch:
            self._unacked.append((patience.flush, batch[-1].delivery))
        done = None
        while self._unacked and self._unacked[0][0] <= patience.booked:
            done = self._unacked.popleft()[1]
        if done is not None:
            done.ack(multiple=True)

    async def _apply(self, batch: list[_Letter]) -> None:
        """Book *batch*, however long the ledger is away: the messages are still the broker's."""
        messages = [letter.message for letter in batch if letter.message is not None]
        # Of what is unacked the broker gives only so much.
        can_wait = len(self._unacked) < _FLUSHES_WAIT and not any(letter.asks for letter in batch)
        delay = _RETRY
        session = self._session
        said = ""
        while session is self._session and self.running:
            try:
                for body, reason in await self._applier.apply(messages, can_wait=can_wait):
                    await self._client.publish_surely(
                        self._post.dead("status", body, reason, "api")
                    )
            except LedgerError as problem:
                if str(problem) != said:
                    said = str(problem)
                    self._log.warn("the inbox waits: {why}", why=said)
                await deferLater(self._reactor, delay, lambda: None)
                delay = min(delay * 2, _RETRY_MOST)
            else:
                return

    async def _bury(self, letter: _Letter) -> None:
        key = letter.delivery.routing_key
        self._log.warn("a message by {key} is dead: {why}", key=key, why=letter.problem)
        self._applier.tally.malformed += 1
        # Acked with its batch: one message acked twice would cost the session.
        await self._client.publish_surely(
            self._post.dead(key, letter.delivery.body, letter.problem, "api")
        )

    def _failed(self, failure: Failure) -> None:
        if failure.check(RtbError, BrokerError) is None:
            self._log.failure("applying the inbox failed", failure)
        # Unacked, and so delivered again in the next session.
        if self._session is not None:
            self._session.close("the inbox could not be applied")
