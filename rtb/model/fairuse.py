"""Fair use: whose unit goes next.

A free place goes to the account with the smallest ``(in flight + 1) / weight``; among equals to
the one not served for longest. That is weighted max-min fairness, and one rule decides at both
doors: who enters a job tracker (over units in flight; ``queries/claim.sql`` is this rule in SQL)
and who leaves it for an agent (over units handed out).
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

__all__ = ["Claimant", "first", "key"]


@attrs.define
class Claimant:
    """An account that waits for a place."""

    account: str
    weight: float
    #: How many places it has.
    holds: int
    #: When it last got one, in any growing count; smaller is longer ago.
    served: int


def key(claimant: Claimant) -> tuple[float, int, str]:
    """Return what the fair order sorts by; the name only makes it total."""
    return (claimant.holds + 1) / claimant.weight, claimant.served, claimant.account


def first(claimants: Iterable[Claimant]) -> Claimant | None:
    """Return who gets the next place; None where nobody waits."""
    return min(claimants, key=key, default=None)
