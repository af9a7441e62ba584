"""A ledger that was restored to an earlier state becomes another one, whose past is its own.

What was said of it in the time that was lost may still be on its way: in queues, in leaders, in
agents. Under the new id all of that is of another ledger, and dropped wherever it turns up.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import attrs

from rtb.ledger.lane import Lane
from rtb.ledger.queries import QUERIES

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["Before", "before_renewal", "renew"]

#: Seconds that it may take: it counts and moves all that is in flight at once.
_LIMIT = 600.0


@attrs.frozen
class Before:
    """What a renewal would find."""

    ledger: str
    #: An API has noticed that the ledger is older than what is said of it.
    noticed: bool
    #: Open attempts.
    flights: int
    waiting: int
    settled: int


async def before_renewal(reactor: Any, database: Database) -> Before:
    """Return what there is to renew.

    :raises LedgerUnavailableError: PostgreSQL cannot be reached
    """
    lane = Lane(reactor, database, op="renew", limit=_LIMIT)
    try:
        (row,) = await lane.run(QUERIES["before_renewal"])
    finally:
        lane.close()
    return Before(*row)


async def renew(reactor: Any, database: Database) -> str:
    """Give the ledger a new id and close all open attempts; return the id.

    One transaction. Attempts opened later have numbers that no earlier one can have had, and what
    is placed later has ids by a million higher. Again it does the same again, to no harm but that
    of running work a second time.

    :raises LedgerUnavailableError: PostgreSQL cannot be reached, or it took too long
    """
    lane = Lane(reactor, database, op="renew", limit=_LIMIT)
    new = secrets.token_hex(12)
    try:
        await lane.run(QUERIES["renew"], {"ledger": new})
    finally:
        lane.close()
    return new
