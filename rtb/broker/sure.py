"""Publishing until it is confirmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rtb.broker.backoff import Backoff
from rtb.broker.errors import BrokerError, BrokerUnavailable, Returned
from rtb.broker.messages import Outgoing
from rtb.broker.publisher import Publisher

__all__ = ["Insistence"]


class Insistence:
    """Publishes each message again, the same under the same id, until the broker has it.

    What waits for a connection goes out, in order, as soon as there is one; what was refused or
    returned waits by the clock.

    :param returned: called when no queue took a message
    """

    def __init__(
        self,
        reactor: Any,
        publisher: Publisher,
        random: Callable[[], float],
        returned: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._publisher = publisher
        self._random = random
        self._returned = returned
        #: waiting for a connection, in order
        self._waiting: dict[_Insisting, None] = {}
        #: waiting for their time
        self._timed: dict[_Insisting, Any] = {}
        self._stopped = ""

    def publish(self, message: Outgoing) -> Deferred[None]:
        """Publish *message* until it is confirmed.

        :raises BrokerUnavailable: (errback) stopped
        :raises Unsendable: (errback) AMQP cannot carry it
        """
        insisting = _Insisting(message, Backoff(self._random))
        self._try(insisting)
        return insisting.done

    def ready(self) -> None:
        """Go on: there is a connection."""
        waiting, self._waiting = self._waiting, {}
        for insisting in waiting:
            self._try(insisting)

    def stop(self, why: str) -> None:
        """Give up what waits, and from now on what fails."""
        self._stopped = why
        for timer in self._timed.values():
            timer.cancel()
        given_up = [*self._waiting, *self._timed]
        self._waiting, self._timed = {}, {}
        for insisting in given_up:
            insisting.done.errback(BrokerUnavailable(why))

    def _try(self, insisting: _Insisting) -> None:
        self._timed.pop(insisting, None)
        if self._publisher.is_ready or self._stopped:
            self._publisher.publish(insisting.message).addCallbacks(
                insisting.done.callback, self._failed, errbackArgs=(insisting,)
            )
        else:
            self._waiting[insisting] = None

    def _failed(self, why: Failure, insisting: _Insisting) -> None:
        problem = why.value
        if self._stopped or not isinstance(problem, BrokerError) or not problem.retryable:
            insisting.done.errback(why)
        elif not self._publisher.is_ready:
            self._waiting[insisting] = None
        else:
            if isinstance(problem, Returned):
                self._returned()
            delay = insisting.backoff.delay()
            self._timed[insisting] = self._reactor.callLater(delay, self._try, insisting)


class _Insisting:
    """A message on its way, with as many tries as it takes."""

    def __init__(self, message: Outgoing, backoff: Backoff) -> None:
        self.message = message
        self.backoff = backoff
        self.done: Deferred[None] = Deferred()
