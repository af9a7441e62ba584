"""What the web asks of the rest of the API: everything it knows of ledger and leaders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from twisted.python.failure import Failure

from rtb.errors import RtbError
from rtb.model.orders import NewOrder
from rtb.model.verbs import Filter, Verb

__all__ = [
    "READY",
    "WINDOWS",
    "BoxInUseError",
    "Desk",
    "Live",
    "Load",
    "Metrics",
    "Page",
    "Readiness",
]

#: What :data:`Readiness` says of a part that is.
READY = "ready"

#: How far back a trace goes.
WINDOWS = ("5m", "1h", "24h")

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


class Load(Protocol):
    """An order whose units are on their way in."""

    def feed(self, data: bytes) -> None:
        """A piece of the body came."""

    def end(self) -> Awaitable[dict[str, Any]]:
        """All of it came; return the answer."""

    def abort(self) -> None:
        """No more will come: nothing is to be placed."""


class Live(Protocol):
    """Shows what moves, to many at once."""

    @property
    def watching(self) -> int:
        """How many watch."""

    def join(self, viewer: Any, last: str) -> Awaitable[None]:
        """Let *viewer*, who has the frame *last*, watch."""

    def leave(self, viewer: Any) -> None:
        """Send nothing more to *viewer*."""

    def picture(self) -> Awaitable[dict[str, Any]]:
        """Return what a viewer sees first."""

    def trace(self, window: str) -> Awaitable[dict[str, Any]]:
        """Return the rates of the past *window*, one of :data:`WINDOWS`."""

    def coalesced(self) -> None:
        """A frame gave way to a newer one."""

    def until_done(self, order: int, seconds: float) -> Awaitable[None]:
        """Return when *order* has come to its end, or after *seconds*."""


class Metrics(Protocol):
    """Counts what is answered, and shows everything that is counted."""

    def answered(self, method: str, route: str, code: int, seconds: float) -> None:
        """A request was answered."""

    def scrape(self) -> Awaitable[bytes]:
        """Return all metrics, as Prometheus reads them."""


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

    def place(
        self, order: NewOrder, key: str | None, fingerprint: str
    ) -> Awaitable[dict[str, Any]]:
        """Store *order*; return its id, ``going``, and what to do when that is false.

        With *key*, only once: the same again gets the same answer, another *fingerprint* none.
        """

    def load(
        self,
        order: NewOrder,
        kind: str,
        *,
        about: bytes,
        atomic: bool,
        key: str | None,
        hold_back: Callable[[bool], None],
        refuse: Callable[[Failure], None],
    ) -> Load:
        """Begin to take *order* in, whose units come as a stream of *kind*.

        :param hold_back: told to let no more come for a while, and to go on
        :param refuse: told why, if it fails before the end of the body
        """

    def change_order(
        self, order: int, verb: Verb, why: str, priority: int
    ) -> Awaitable[int | None]:
        """Do *verb* to *order*; return how many units that concerns, None if there is no order."""

    def count_units(self, order: int, verb: Verb, chosen: Filter) -> Awaitable[int | None]:
        """Return how many units *verb* would touch; None if there is no such order."""

    def change_units(
        self, order: int, verb: Verb, chosen: Filter, units: int, why: str, priority: int
    ) -> Awaitable[None]:
        """Do *verb* to the units of *order* that were counted."""

    def set_account(
        self, name: str, weight: float | None, cap: int | None, sets_cap: bool
    ) -> Awaitable[dict[str, Any]]:
        """Set an account's weight, its cap, or both; return what it has now."""

    def fair(self) -> Awaitable[list[dict[str, Any]]]:
        """Return what each account has and what is due to it."""

    def forecast(self, order: int) -> Awaitable[dict[str, Any] | None]:
        """Return when *order* goes on and ends, and why it waits; None if there is none."""

    def orders(
        self,
        limit: int,
        cursor: int | None,
        *,
        account: str | None = None,
        labels: Mapping[str, str] | None = None,
        loading: bool = False,
    ) -> Awaitable[Page]:
        """Return orders, newest first: of *account*, with all *labels*; or those that load."""

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

    def agents(self) -> Awaitable[list[dict[str, Any]]]:
        """Return the agents that leaders reported."""

    def drain(self, agent: str) -> Awaitable[bool]:
        """Let the agent of that id take nothing new and end; False if there is none."""

    def forget_leader(self, box: str) -> Awaitable[bool]:
        """Forget *box* and its queues; False if there is none.

        :raises BoxInUseError: its leader lives, or units of it are in flight
        """
