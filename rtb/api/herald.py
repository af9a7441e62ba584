"""Tells the boxes what the ledger knows: state, not words, so that any of it may be lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker import BrokerClient, BrokerError
from rtb.broker.post import Post
from rtb.errors import RtbError
from rtb.ledger import Books
from rtb.model.wire import Control, UnitKey

__all__ = ["Herald"]

#: Seconds that orders are gathered before the boxes are told of them.
_SOON = 0.5


class Herald:
    """Publishes ``control.<box>``."""

    _log = Logger()

    def __init__(self, reactor: Any, client: BrokerClient, books: Books, post: Post) -> None:
        self._reactor = reactor
        self._client = client
        self._books = books
        self._post = post
        self._soon: IDelayedCall | None = None

    async def say(
        self,
        box: str,
        closed: Sequence[UnitKey] = (),
        refused: Sequence[str] = (),
        answered: Sequence[int] = (),
    ) -> None:
        """Say the state of *box*, which attempts that it named are closed, and who was refused.

        :param answered: the numbers of the reports of its leader that this answers
        """
        state = await self._books.box_state(box)
        if state is None:
            return
        message = Control(
            ledger=state.ledger_id,
            box=box,
            leader=state.leader,
            going=state.going,
            backlog=state.backlog,
            weights=state.weights,
            closed=list(closed),
            draining=state.draining,
            recalled=state.recalled,
            refused=list(refused),
            answered=list(answered),
        )
        self._client.publish(self._post.control(message)).addErrback(self._unsaid, box)

    def say_to_all(self) -> Deferred[None]:
        """Say every box's state: something changed that all should know. Never fails."""
        return Deferred.fromCoroutine(self._say_to_all()).addErrback(self._unsaid, "all boxes")

    def say_soon(self) -> None:
        """Say every box's state in a moment, however often this is called until then.

        Where no agent is, nothing is claimed and nothing reported; so what a leader starts agents
        for has to be said without being asked.
        """
        if self._soon is None or not self._soon.active():
            self._soon = self._reactor.callLater(_SOON, self.say_to_all)

    def stop(self) -> None:
        """Say nothing more by itself."""
        if self._soon is not None and self._soon.active():
            self._soon.cancel()

    async def _say_to_all(self) -> None:
        for box in await self._books.boxes():
            await self.say(box)

    def _unsaid(self, failure: Failure, box: str) -> None:
        # It is said again in answer to the next report.
        failure.trap(BrokerError, RtbError)
        self._log.debug("not said to {box}: {why}", box=box, why=failure.getErrorMessage())
