"""What code that does the work imports: the unit it is given, and the error that is not retried.

A function that a workload ``python:MODULE:FUNCTION`` names is called with one :class:`Unit` and
returns a JSON value. It may raise :class:`Permanent`; any other exception is tried again.
``docs/workloads.md`` is the contract.
"""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Permanent", "Unit"]


# Standard library only: this is imported by every child process that runs work.
@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    """One unit of work, in one attempt.

    A unit may run more than once, and two attempts may overlap for a moment: write to a path that
    carries the attempt.
    """

    id: int
    name: str
    #: The order that it belongs to.
    order: int
    #: Counts the dispatches of this unit, from 1; never used twice.
    attempt: int
    #: The JSON value that was ordered.
    payload: Any


class Permanent(Exception):
    """This unit cannot succeed, however often it is tried."""
