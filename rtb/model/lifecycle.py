"""The life of a unit, as data.

Two rules hold this file together:

1. *Everything* that says which status may follow which is in :data:`MOVES`. The check in Python,
   the ``lifecycle`` table that guards every UPDATE in PostgreSQL and the diagram in
   ``docs/lifecycle.md`` are made from it.
2. This file does not know who moves a unit, nor through what.

An event is applied only while its attempt is open and :data:`MOVES` has a row for (status, kind).
A row that leads back to ``waiting`` or to an outcome closes the attempt.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CLOSING",
    "IN_FLIGHT",
    "MOVES",
    "ON_THE_WAY",
    "OUTCOMES",
    "Kind",
    "Status",
    "next_status",
    "rank",
]


class Status(StrEnum):
    """Where a unit is."""

    #: In the ledger only; claimed from here, and back here when an attempt closes without outcome.
    WAITING = "waiting"
    #: Claimed for a box: on its way through the broker, not yet vouched for by the box's leader.
    SENT = "sent"
    #: In the leader's job tracker, or handed out and not known to have started.
    QUEUED = "queued"
    #: An agent runs it.
    PROCESSING = "processing"
    #: Outcome: done.
    SUCCESS = "success"
    #: Outcome: given up, permanently or because failures or losses are used up.
    ERROR = "error"
    #: Outcome: a person took it back.
    CANCELLED = "cancelled"


class Kind(StrEnum):
    """What happened to a unit: the kinds of its history."""

    CLAIMED = "claimed"
    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCESS = "success"
    ERROR = "error"
    #: The attempt ran and failed, and will be tried again.
    FAILED = "failed"
    #: Given back unrun, or ended on request: counts as nobody's fault.
    RETURNED = "returned"
    #: A witness saw the agent's process end.
    LOST = "lost"
    #: Nobody vouched for it for three epochs.
    RESCUED = "rescued"
    CANCELLED = "cancelled"
    #: A person asked for another round of a settled unit.
    RETRIED = "retried"


OUTCOMES = frozenset({Status.SUCCESS, Status.ERROR, Status.CANCELLED})
#: What the bound N counts: on its way to, or in, one job tracker.
ON_THE_WAY = frozenset({Status.SENT, Status.QUEUED})
#: What fair use counts.
IN_FLIGHT = ON_THE_WAY | {Status.PROCESSING}

MOVES: dict[tuple[Status, Kind], Status] = {
    (Status.WAITING, Kind.CLAIMED): Status.SENT,
    (Status.WAITING, Kind.CANCELLED): Status.CANCELLED,
    (Status.SENT, Kind.QUEUED): Status.QUEUED,
    (Status.SENT, Kind.PROCESSING): Status.PROCESSING,
    (Status.QUEUED, Kind.PROCESSING): Status.PROCESSING,
    (Status.SUCCESS, Kind.RETRIED): Status.WAITING,
    (Status.ERROR, Kind.RETRIED): Status.WAITING,
    (Status.CANCELLED, Kind.RETRIED): Status.WAITING,
} | {
    (status, kind): after
    for status in (Status.SENT, Status.QUEUED, Status.PROCESSING)
    for kind, after in (
        (Kind.SUCCESS, Status.SUCCESS),
        (Kind.ERROR, Status.ERROR),
        (Kind.CANCELLED, Status.CANCELLED),
        (Kind.FAILED, Status.WAITING),
        (Kind.RETURNED, Status.WAITING),
        (Kind.LOST, Status.WAITING),
        (Kind.RESCUED, Status.WAITING),
    )
}

#: The kinds that close the open attempt.
CLOSING = frozenset(
    kind
    for (status, kind), after in MOVES.items()
    if status in IN_FLIGHT and (after in OUTCOMES or after is Status.WAITING)
)

_RANK = {Kind.CLAIMED: 0, Kind.QUEUED: 1, Kind.PROCESSING: 2} | dict.fromkeys(CLOSING, 3)


def next_status(status: Status, kind: Kind) -> Status | None:
    """Return where a unit in *status* goes when *kind* happens; None where it does not move."""
    return MOVES.get((status, kind))


def rank(kind: Kind) -> int:
    """Return how far along its attempt a unit is after *kind*: within an attempt it only grows."""
    return _RANK[kind]
