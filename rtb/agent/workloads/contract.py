"""What the agent and its workloads promise each other.

The agent starts a unit and waits for :attr:`Running.done`, which always fires, with one of the
four outcomes. Nothing that a unit does reaches the agent as an exception.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from attrs import field, frozen
from twisted.internet.defer import Deferred, succeed

from rtb.agent.output import one_line
from rtb.model import wire

__all__ = [
    "Already",
    "Failed",
    "Outcome",
    "Running",
    "Stopped",
    "Succeeded",
    "Workload",
    "document",
    "timed_out",
]


@frozen
class Succeeded:
    """The unit did what it should."""

    #: JSON, at most 64 KiB, that PostgreSQL can store.
    result: bytes


@frozen
class Failed:
    """The unit did not do what it should."""

    #: One line, fit to be shown.
    why: str = field(converter=one_line)
    #: The last 16 KiB that it printed, fit to be shown.
    output: str
    #: It would fail again, however often it is tried.
    permanent: bool


@frozen
class Stopped:
    """The unit was ended by :meth:`Running.stop` and says nothing about itself."""


Outcome = Succeeded | Failed | Stopped


class Running(Protocol):
    """A unit that runs."""

    @property
    def done(self) -> Deferred[Outcome]:
        """Fires when the unit has ended, and never fails."""

    def stop(self, grace: float = 0.0) -> None:
        """End the unit: ask it to, and end it by force *grace* seconds later."""


class Workload(Protocol):
    """Code that can run units."""

    def start(self, unit: wire.Unit) -> Running:
        """Begin to run *unit*."""

    def close(self) -> Deferred[None]:
        """End what is kept for the next unit, and what runs; fire when all of it is gone."""


@frozen
class Already:
    """A unit that had ended when it was started; the same one may stand for many."""

    outcome: Outcome

    @property
    def done(self) -> Deferred[Outcome]:
        """Fires at once."""
        return succeed(self.outcome)

    def stop(self, grace: float = 0.0) -> None:
        """Do nothing: it has ended."""


def timed_out(limit: float | None, output: str) -> Failed:
    """Return the outcome of a unit that ran longer than its *limit*."""
    return Failed(f"timed out after {limit or 0:g} s", output, permanent=False)


def document(unit: wire.Unit) -> bytes:
    """Return *unit* as the JSON document that its code gets."""
    return msgspec.json.encode(
        {
            "id": unit.unit,
            "name": unit.name,
            "order": unit.order,
            "attempt": unit.attempt,
            "payload": unit.payload,
        }
    )
