"""Says an agent's state to its leader: at once where a slot may stay empty, else a moment later.

A state names every unit held, so that it costs both sides the more, the more is held. What the
leader loses nothing by waiting for waits in proportion, and a few milliseconds at least; most of it
is over by then and need never be named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.agent.slots import Slots
from rtb.broker import BrokerClient, BrokerError
from rtb.broker.post import Post
from rtb.model.wire import Track
from rtb.pulse import Pulse

__all__ = ["Bulletin"]

#: Seconds, for each unit held, from one state to the next: it costs the leader as much. So long
#: waits, too, what tells of no slot that the leader could miss; not longer, since units count
#: against N until the leader knows that they started.
_PER_HELD = 5e-6
#: What tells of no slot that the leader could miss waits at least so long. Until then, broker and
#: leader would take the time from the news of a unit for which somebody may wait.
_LEAST = 0.004


class Bulletin:
    """Publishes what *state* returns.

    :param slots: what is held, and what the leader knows of it
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        client: BrokerClient,
        post: Post,
        slots: Slots,
        state: Callable[[], Track],
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._post = post
        self._slots = slots
        self._state = state
        self._pulse = Pulse(self._say, self._unsaid)
        self._timer: IDelayedCall | None = None
        #: When what is not said yet began to be so.
        self._since = 0.0
        #: When it was said last.
        self.said_at = 0.0

    def now(self) -> None:
        """Say it, or as soon as the state under way is out and read."""
        self._pulse.kick()

    def changed(self) -> None:
        """Units came, ended or left."""
        if self._slots.leader_may_miss_one:
            self.now()
            return
        now = self._reactor.seconds()
        if self._timer is None:
            self._since = now
        self._wait_no_more()
        left = self._since + max(len(self._slots) * _PER_HELD, _LEAST) - now
        if left > 0:
            self._timer = self._reactor.callLater(left, self._due)
        else:
            self.now()

    def stop(self) -> Deferred[None]:
        """Say nothing more by itself; fire when nothing is under way."""
        self._wait_no_more()
        return self._pulse.stop()

    async def last_word(self) -> None:
        """Say it once more, after :meth:`stop`; nobody waits for long."""
        said = self._publish().addTimeout(1.0, self._reactor)
        await said.addErrback(lambda failure: self._log.debug("left unsaid"))

    def _due(self) -> None:
        self._timer = None
        self.now()

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _say(self) -> None:
        await self._publish()
        await deferLater(self._reactor, len(self._slots) * _PER_HELD)

    def _publish(self) -> Deferred[None]:
        self._wait_no_more()
        self.said_at = self._reactor.seconds()
        self._slots.told()
        return self._client.publish(self._post.track(self._state()))

    def _unsaid(self, failure: Failure) -> None:
        failure.trap(BrokerError)  # said again soon
