"""Reads what was delivered; what cannot be read is buried, or waits for an upgrade."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker.client import BrokerClient
from rtb.broker.errors import BrokerError
from rtb.broker.messages import Delivery
from rtb.errors import RtbError
from rtb.model.wire import NewerVersionError, WireError, decode

__all__ = ["read"]

_log = Logger()


def read(
    client: BrokerClient, delivery: Delivery, who: str, *kinds: type[Any], ack: bool = True
) -> Any:
    """Return the message of one of *kinds* that *delivery* is, acked unless that is to wait.

    None for anything else: buried with its reason, in the name of *who*; but what is of a newer
    version stays unacked, for whoever comes after an upgrade or, where the queue ends before, to be
    rescued.
    """
    try:
        message = decode(delivery.routing_key, delivery.body)
        if not isinstance(message, kinds):
            wanted = ", ".join(kind.__name__ for kind in kinds)
            raise WireError(f"{type(message).__name__} where {wanted} belongs")
    except NewerVersionError as problem:
        _log.error("a message of {problem}: upgrade this {who}", problem=problem, who=who)
        return None
    except RtbError as problem:
        client.bury(delivery, str(problem), who).addErrback(_unsaid)
        return None
    if ack:
        delivery.ack()
    return message


def _unsaid(failure: Failure) -> None:
    failure.trap(BrokerError)  # unacked, and so delivered again
    _log.debug("not buried: {why}", why=failure.getErrorMessage())
