"""Tops up the boxes: claims by fair use, commits, and only then publishes.

An attempt is published once. Where it is known that nothing was delivered, it is given back at
once; where that is not known, only silence over three epochs gives it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb import failpoint
from rtb.api.metrics import Tally
from rtb.broker import BrokerClient, BrokerError, Returned
from rtb.broker.post import Post
from rtb.errors import RtbError
from rtb.ledger import BadDataError, Books, Claim
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.orders import NewOrder
from rtb.model.wire import Gave, Out, Unit, parts
from rtb.pulse import Pulse

__all__ = ["Dispatcher"]

#: Attempts opened in one transaction: more only makes the gate's lock long, and the leader wait.
_CLAIM_MOST = 800
#: Units, and bytes of their payloads, of an order that may be placed and claimed in one
#: transaction: with more, claims and flushes would wait for the placing.
_AT_ONCE = 100
_AT_ONCE_BYTES = 256 * 1024
#: Seconds before it looks again after the ledger failed.
_RETRY = 0.5
#: Seconds that it waits at most for what is due, which may be in years.
_LOOK = 3600.0


class Dispatcher(Service):
    """Claims whenever kicked: on go, new orders, completions, reports, retries that are due.

    :param reactor: its timers
    :param client: publishes to the boxes
    :param books: where claims are made
    :param committed: called after claims
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        client: BrokerClient,
        books: Books,
        post: Post,
        committed: Callable[[], None],
        tally: Tally,
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._books = books
        self._post = post
        self._committed = committed
        self._tally = tally
        self._claims = Pulse(self._top_up, self._failed)
        self._placing = DeferredLock()
        self._wakes = Pulse(self._wake, self._failed)
        self._timer: IDelayedCall | None = None
        self._again: IDelayedCall | None = None
        #: Why claims wait, as it was said last.
        self._said = ""

    def startService(self) -> None:
        """Look once at what an earlier life left to do."""
        super().startService()
        self.kick()
        self._wakes.kick()

    async def stopService(self) -> None:
        """Claim nothing more; wait for a claim that is under way."""
        await Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        super().stopService()
        for timer in (self._timer, self._again):
            if timer is not None and timer.active():
                timer.cancel()
        await self._wakes.stop()
        await self._claims.stop()
        await self._placing.acquire()  # for good: what was claimed with an order is published now

    def kick(self) -> None:
        """There may be a place to fill."""
        if self.running:
            self._claims.kick()

    def retry_later(self) -> None:
        """A unit was booked to be tried again later."""
        if self.running:
            self._wakes.kick()

    def begins(self) -> int:
        """Return how many units may be claimed now, also along with other changes; 0: none."""
        if not (self.running and self._client.can_publish):
            return 0
        failpoint.hit("a1")
        return _CLAIM_MOST

    async def place(
        self, order: NewOrder, *, key: str | None, fingerprint: str, closed: bool
    ) -> dict[str, Any]:
        """Book *order* as :meth:`Books.place` does, and look what can be claimed now.

        A small one is claimed in the transaction that places it, where nothing else is under way.
        """
        if _is_small(order) and self._books.is_idle and (most := self.begins()):
            await self._placing.acquire()
            try:
                placing = Deferred.fromCoroutine(
                    self._books.place_and_claim(
                        order, most, key=key, fingerprint=fingerprint, closed=closed
                    )
                )
                failpoint.hit("a5")
                answer, claim = await placing
            except BadDataError:
                pass  # perhaps not the order is refused but the claim: by itself, then
            else:
                self._said = ""
                self._publish(claim)
                # Nothing: somebody may have made room, and looked, before this was committed.
                if not claim.count or _is_more(claim):
                    self.kick()
                return answer
            finally:
                self._placing.release()
        answer = await self._books.place(order, key=key, fingerprint=fingerprint, closed=closed)
        self.kick()
        return answer

    def claimed(self, claim: Claim) -> None:
        """Publish what was claimed along with a flush, in the next turn of the reactor.

        So the next flush is on its way to the ledger before, and neither waits for the other.
        """
        self._said = ""
        if claim.count:
            self._reactor.callLater(0, self._publish, claim)
        if _is_more(claim):
            self.kick()

    async def _top_up(self) -> None:
        while most := self.begins():
            claiming = Deferred.fromCoroutine(self._books.claim(None, most))
            failpoint.hit("a5")
            claim = await claiming
            self._said = ""
            self._publish(claim)
            if not _is_more(claim):
                return

    def _publish(self, claim: Claim) -> None:
        if not claim.count:
            return
        failpoint.hit("a2")
        pieces = list(parts(claim.units))
        for piece in pieces:
            message = Out(ledger=claim.ledger, box=claim.box, leader=claim.leader, units=piece)
            self._client.publish(self._post.out(message)).addCallbacks(
                self._sent, self._unsent, (len(pieces),), {}, (claim.ledger, piece)
            ).addErrback(self._failed)
        self._tally.published += claim.count
        self._committed()

    def _sent(self, _: None, pieces: int) -> None:
        failpoint.hit("a3" if pieces > 1 else "a4")

    def _unsent(self, failure: Failure, ledger: str, units: list[Unit]) -> Deferred[None] | None:
        problem = failure.trap(Returned, BrokerError)
        self._log.warn("{units} units not sent: {why}", units=len(units), why=failure.value)
        if problem is not Returned:
            return None  # sent or not, nobody knows: vouching decides
        moves = [Move.giving_up(unit.key, Kind.RETURNED, Gave.UNREACHED) for unit in units]
        return Deferred.fromCoroutine(self._give_back(ledger, moves))

    async def _give_back(self, ledger: str, moves: list[Move]) -> None:
        await self._books.apply(ledger, moves)

    async def _wake(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        woken, due = await self._books.wake()
        if woken:
            self.kick()
        if due is not None and self.running:
            self._timer = self._reactor.callLater(min(max(due, 0.0), _LOOK), self._wakes.kick)

    def _failed(self, failure: Failure) -> None:
        if failure.check(RtbError) is None:
            self._log.failure("claiming failed", failure)
        elif (why := failure.getErrorMessage()) != self._said:
            self._said = why
            self._log.warn("claims wait: {why}", why=why)
        # One timer for both: where each failure brought two of its own, a ledger that starts was
        # asked dozens of times a second, and started the more slowly.
        if self.running and (self._again is None or not self._again.active()):
            self._again = self._reactor.callLater(_RETRY, self._try_again)

    def _try_again(self) -> None:
        self.kick()
        self.retry_later()


def _is_small(order: NewOrder) -> bool:
    """May *order* be placed and claimed in one transaction?"""
    return (
        order.not_before is None
        and len(order.units) <= _AT_ONCE
        and sum(len(unit.payload) for unit in order.units) <= _AT_ONCE_BYTES
    )


def _is_more(claim: Claim) -> bool:
    """Is there another box to claim for, or more for this one?"""
    return claim.boxes > 1 or claim.count == _CLAIM_MOST
