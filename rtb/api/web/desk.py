"""What the web asks of the rest of the API: everything it knows of ledger and leaders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from rtb.errors import RtbError
from rtb.model.orders import NewOrder

__all__ = ["READY", "BoxInUseError", "Desk", "Page", "Readiness"]

#: What :data:`Readiness` says of a part that is.
READY = "ready"

#: Each thing the API needs, and :data:`READY` or what is wrong with it: as it is when asked.
Readiness = Callable[[], Awaitable[Mapping[str, str]]]


class BoxInUseError(RtbError):
    """A box that cannot be forgotten now."""


class Page(Protocol):
    """Some rows, and where the next ones begin."""

    @property
    def items(self) -> list[dict[str, Any]]:
        """The rows, ready for JSON."""

    @property
    def cursor(self) -> int | None:
        """Where the next page begins; None where this is the last."""


class Desk(Protocol):
    """Answers each question of the web; never cancelled, even when nobody waits any more.

    A failure that is ``retryable`` becomes 503, every other one 500.
    """

    def summary(self) -> Awaitable[dict[str, Any]]:
        """Return what ``GET /`` says."""

    def next_units(self, limit: int) -> Awaitable[list[dict[str, Any]]]:
        """Return the *limit* units that are first in line."""

    def set_going(self, going: bool) -> Awaitable[dict[str, Any]]:
        """Start or stop claiming; return what is so now."""

    def place(self, order: NewOrder) -> Awaitable[dict[str, Any]]:
        """Store *order*; return its id, ``going``, and what to do when that is false."""

    def orders(self, limit: int, cursor: int | None) -> Awaitable[Page]:
        """Return orders, newest first."""

    def order(self, order: int) -> Awaitable[dict[str, Any] | None]:
        """Return one order with its counts."""

    def units(
        self, order: int, status: str | None, limit: int, cursor: int | None
    ) -> Awaitable[Page | None]:
        """Return units of *order*; None if there is no such order."""

    def all_units(self, order: int, status: str | None) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield all units of *order* with their results, some at a time."""

    def unit(self, unit: int) -> Awaitable[dict[str, Any] | None]:
        """Return one unit with its history."""

    def drain(self, agent: str) -> Awaitable[bool]:
        """Let the agent of that id take nothing new and end; False if there is none."""

    def forget_leader(self, box: str) -> Awaitable[bool]:
        """Forget *box* and its queues; False if there is none.

        :raises BoxInUseError: its leader lives, or units of it are in flight
        """
