"""What people may do to orders and units that are placed already: verbs, as data."""

from __future__ import annotations

from enum import StrEnum

import attrs

from rtb.model.lifecycle import MOVES, OUTCOMES, Kind, Status

__all__ = ["APPLIES_TO", "Filter", "Verb", "applicable"]


class Verb(StrEnum):
    """A verb of an order, or of units of an order that a filter finds."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    PRIORITY = "priority"


_WAITING = frozenset({Status.WAITING})
#: The statuses in which a unit may be the object of each verb.
APPLIES_TO: dict[Verb, frozenset[Status]] = {
    Verb.CANCEL: frozenset(status for status, kind in MOVES if kind is Kind.CANCELLED),
    Verb.HOLD: _WAITING,
    Verb.RELEASE: _WAITING,
    Verb.RETRY: frozenset(status for status, kind in MOVES if kind is Kind.RETRIED),
    Verb.PRIORITY: _WAITING,
}
assert APPLIES_TO[Verb.RETRY] == OUTCOMES


@attrs.frozen
class Filter:
    """Which units of an order are meant."""

    #: Any of these; all that the verb applies to where there are none (a retry: those in error).
    statuses: frozenset[Status] = frozenset()
    #: Only names that begin so.
    prefix: str | None = None
    #: Only this one.
    unit: int | None = None


def applicable(verb: Verb, chosen: Filter) -> list[Status]:
    """Return the statuses of the units that *verb* touches among those *chosen*."""
    default = frozenset({Status.ERROR}) if verb is Verb.RETRY else APPLIES_TO[verb]
    return sorted(APPLIES_TO[verb] & (chosen.statuses or default))
