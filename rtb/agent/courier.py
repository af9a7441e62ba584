"""Carries an agent's news to the inbox: at once when idle, gathered while a batch is under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IDelayedCall
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

    :param reactor: its turns: what is said in one of them leaves together
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
        self._turn: IDelayedCall | None = None

    def say(self, ledger: str, kind: StatusKind, news: Ended) -> None:
        """Send *news* of a unit of *ledger*, at the end of the reactor's turn or by :meth:`send`.

        One that ends before its ``processing`` left says both in one.
        """
        key = news.key
        if kind is not StatusKind.PROCESSING:
            self._stack[ledger, StatusKind.PROCESSING].pop(key, None)
        self._stack[ledger, kind][key] = news
        if self._turn is None:
            self._turn = self._reactor.callLater(0, self.send)

    def send(self) -> None:
        """Nothing more comes in this turn: send what was said, once the broker has the last."""
        if self._turn is not None:
            if self._turn.active():
                self._turn.cancel()
            self._turn = None
            self._pulse.kick()

    async def _carry(self) -> None:
        while stack := {which: news for which, news in self._stack.items() if news}:
            self._stack.clear()
            # Side by side, so that no start waits for the broker to have the ends of others; but
            # behind them: it may have begun in the slot of one of them.
            carrying = [
                Deferred.fromCoroutine(self._publish(ledger, kind, list(news.values())))
                for (ledger, kind), news in sorted(
                    stack.items(), key=lambda item: item[0][1] is StatusKind.PROCESSING
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
