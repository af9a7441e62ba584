"""What can go wrong between a role and the broker, in words a role can act on."""

from __future__ import annotations

from rtb.errors import RtbError

__all__ = [
    "BrokerError",
    "BrokerUnavailable",
    "Nacked",
    "Refused",
    "Returned",
    "TopologyMismatch",
    "Unsendable",
]


class BrokerError(RtbError):
    """The broker did not do what was asked."""


class BrokerUnavailable(BrokerError):
    """There is no connection to the broker, or it ended before the answer came.

    Whether the broker got the message is not known: publish it again under the same id.
    """

    retryable = True


class Returned(BrokerError):
    """No queue takes messages of this routing key: whoever should read them is not there."""

    retryable = True


class Nacked(BrokerError):
    """The broker could not store the message: publish it again, later."""

    retryable = True


class Refused(BrokerError):
    """The broker refuses this: the queue is somebody else's for now, or it does not exist."""

    retryable = True


class TopologyMismatch(BrokerError):
    """A queue or exchange exists with other properties than rtb's: delete it and start again."""


class Unsendable(BrokerError):
    """This message does not fit into AMQP, now or later."""
