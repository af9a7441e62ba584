"""How a leader gives units back: what was never received, and what a witness knows to be lost."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker import BrokerClient, BrokerError
from rtb.broker.post import Post
from rtb.model.wire import Ended, Gave, Status, StatusKind, UnitKey, parts

__all__ = ["Returns"]


class Returns:
    """Publishes ``status.returned`` and ``status.lost`` for the leader *leader* of *box*."""

    _log = Logger()

    def __init__(self, client: BrokerClient, post: Post, box: str, leader: str) -> None:
        self._client = client
        self._post = post
        self._box = box
        self._leader = leader

    def say(
        self,
        ledger: str,
        keys: Sequence[UnitKey],
        cause: Gave,
        kind: StatusKind = StatusKind.RETURNED,
    ) -> None:
        """Give *keys* back in the background: until the broker has it, or this process ends."""
        if keys:
            giving = Deferred.fromCoroutine(self.give_back(ledger, keys, cause, kind))
            giving.addErrback(self._unsaid)

    async def give_back(
        self,
        ledger: str,
        keys: Sequence[UnitKey],
        cause: Gave,
        kind: StatusKind = StatusKind.RETURNED,
    ) -> None:
        """Give *keys* back, and return when the broker has it."""
        for part in parts([Ended(*key, why=cause) for key in keys]):
            status = Status(
                ledger=ledger, box=self._box, source=self._leader, kind=kind, units=part
            )
            await self._client.publish_surely(self._post.status(status))

    def _unsaid(self, failure: Failure) -> None:
        failure.trap(BrokerError)
        self._log.debug("not said: {why}", why=failure.getErrorMessage())
