"""Carries an agent's news to the inbox: at once when idle, gathered while a batch is under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb import failpoint
from rtb.broker import BrokerClient, BrokerError
from rtb.broker.post import Post
from rtb.model.wire import Ended, Status, StatusKind, UnitKey, parts
from rtb.pulse import Pulse

__all__ = ["Courier"]

_Stack = dict[tuple[str, StatusKind], dict[UnitKey, Ended]]


class Courier:
    """Publishes news of units, batched by kind, each surely.

    :param reactor: its turns
    :param box: the box the agent works for
    :param source: the agent's incarnation
    :param name: its label
    :param confirmed: told which units' news the broker has
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        client: BrokerClient,
        post: Post,
        *,
        box: str,
        source: str,
        name: str,
        confirmed: Callable[[StatusKind, list[UnitKey]], None],
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._post = post
        self._box = box
        self._source = source
        self._name = name
        self._confirmed = confirmed
        self._stack: _Stack = defaultdict(dict)
        self._pulse = Pulse(self._carry, self._failed)

    def say(self, ledger: str, kind: StatusKind, news: Ended) -> None:
        """Send *news* of a unit of *ledger*.

        One that ends before its ``processing`` left says both in one.
        """
        if kind is not StatusKind.PROCESSING:
            self._stack[ledger, StatusKind.PROCESSING].pop(news.key, None)
        self._stack[ledger, kind][news.key] = news
        self._pulse.kick()

    async def _carry(self) -> None:
        # What ends in the turn of the reactor in which it began needs one word, not two.
        await deferLater(self._reactor, 0, lambda: None)
        while stack := {which: news for which, news in self._stack.items() if news}:
            self._stack.clear()
            # Side by side, so that no start waits for the broker to have the ends of others.
            carrying = [
                Deferred.fromCoroutine(self._publish(ledger, kind, list(news.values())))
                for (ledger, kind), news in sorted(
                    stack.items(), key=lambda item: item[0][1] is not StatusKind.PROCESSING
                )
            ]
            try:
                await gatherResults(carrying, consumeErrors=True)
            except FirstError as problem:
                problem.subFailure.raiseException()

    async def _publish(self, ledger: str, kind: StatusKind, news: list[Ended]) -> None:
        for part in parts(news):
            message = Status(
                ledger=ledger,
                box=self._box,
                source=self._source,
                name=self._name,
                kind=kind,
                units=part,
            )
            await self._client.publish_surely(self._post.status(message))
        failpoint.hit("g5")
        self._confirmed(kind, [entry.key for entry in news])

    def _failed(self, failure: Failure) -> None:
        # This process stops without the broker: what it ran is rescued or run again.
        failure.trap(BrokerError)
        self._log.warn("news did not leave: {why}", why=failure.getErrorMessage())
