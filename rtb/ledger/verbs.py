"""What people do to orders that are placed: one row at once, and the units in batches after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from rtb.ledger.errors import RefusedError, SchemaError, units_pruned
from rtb.ledger.lane import Lane, Rows
from rtb.ledger.queries import QUERIES
from rtb.model.lifecycle import Status
from rtb.model.verbs import Filter, Verb, applicable
from rtb.model.wire import UnitKey

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["LOAD_LOCK", "Batch", "Verbs"]

#: Advisory lock class of orders that load; their connection holds it as long as it lives.
LOAD_LOCK = 0x52544203
_PERSON_LIMIT = 2.0
_BATCH_LIMIT = 30.0
_HELD = {Verb.HOLD: False, Verb.RELEASE: True}


@attrs.frozen
class Batch:
    """Units of an errand that have followed just now."""

    #: None have to follow any more; or somebody else sees to it.
    done: bool
    #: This was done here.
    busy: bool
    units: int
    #: Attempts that were closed under way, each with its box.
    closed: list[tuple[str, UnitKey]]


class Verbs:
    """The ledger, for people with second thoughts."""

    def __init__(
        self,
        reactor: Any,
        database: Database,
        tables_gone: Callable[[SchemaError], None] = lambda problem: None,
    ) -> None:
        def lane(op: str, limit: float) -> Lane:
            return Lane(reactor, database, op=op, limit=limit, tables_gone=tables_gone)

        self._person, self._batches = lane("verb", _PERSON_LIMIT), lane("follow", _BATCH_LIMIT)

    def close(self) -> None:
        """Close all connections."""
        self._person.close()
        self._batches.close()

    # ---- orders

    async def change(
        self, order: int, verb: Verb, *, why: str = "", priority: int = 0
    ) -> int | None:
        """Do *verb* to *order*; return how many units that concerns, None if there is none such.

        :raises RefusedError: not in the order's present state
        """
        known = await self._person.run(QUERIES["order_for_verb"], {"order": order})
        if not known or known[0][0] == "discarded":
            return None
        state, *counts = known[0]
        if state == "pruned":
            raise units_pruned(order)
        if state == "loading" and verb is Verb.CANCEL:
            rows = await self._person.run(QUERIES["discard_order"], {"order": order})
        elif state == "loading":
            raise RefusedError("the order still loads: all that can be done is cancel", "RT409")
        elif verb is Verb.RETRY:
            if not counts[5]:
                return 0
            await self._ask(order, verb, [Status.ERROR], Filter(), counts[5], why, 0)
            return int(counts[5])
        else:
            rows = await self._person.run(
                QUERIES[_ORDER_QUERIES[verb]],
                {"order": order, "why": why, "priority": priority},
            )
        if rows:
            return int(rows[0][0])
        if verb is Verb.CANCEL and state == "cancelling":
            return sum(counts[:4])  # said twice: the same answer
        raise _cancelled()

    # ---- units

    async def count(self, order: int, verb: Verb, chosen: Filter) -> int | None:
        """Return how many units *verb* would touch now; None if there is no such order.

        :raises RefusedError: they were pruned
        """
        known = await self._person.run(QUERIES["order_for_verb"], {"order": order})
        if not known or known[0][0] in ("loading", "discarded"):
            return None
        if known[0][0] == "pruned":
            raise units_pruned(order)
        ((units,),) = await self._person.run(
            QUERIES["count_units"],
            {
                "order": order,
                "statuses": applicable(verb, chosen),
                "held": _HELD.get(verb),
                "prefix": chosen.prefix,
                "unit": chosen.unit,
            },
        )
        return int(units)

    async def change_units(
        self,
        order: int,
        verb: Verb,
        chosen: Filter,
        units: int,
        *,
        why: str = "",
        priority: int = 0,
    ) -> None:
        """Do *verb* to the *units* units of *order* that :meth:`count` found.

        :raises RefusedError: the order is being cancelled, or the account's cap is in the way
        """
        statuses = applicable(verb, chosen)
        await self._ask(order, verb, statuses, chosen, units, why, priority)

    async def _ask(
        self,
        order: int,
        verb: Verb,
        statuses: list[Status],
        chosen: Filter,
        units: int,
        why: str,
        priority: int,
    ) -> None:
        rows = await self._person.run(
            QUERIES["ask_units"],
            {
                "order": order,
                "verb": verb,
                "statuses": statuses,
                "prefix": chosen.prefix,
                "unit": chosen.unit,
                "why": why,
                "priority": priority,
                "units": units,
                "more": units if verb is Verb.RETRY else 0,
            },
        )
        if not rows:
            raise _cancelled()

    # ---- what has to follow

    async def errands(self) -> list[tuple[int, str]]:
        """Return what units have to follow, oldest first, each with its verb."""
        rows = await self._batches.run(QUERIES["next_errand"])
        return [(errand, verb) for errand, verb in rows]

    async def follow(self, errand: int, verb: str) -> Batch:
        """Let the next units of *errand* follow; done if it is gone or somebody else is at it."""
        name = {"cancel": "follow_cancel", "discard": "follow_discard"}.get(verb, "follow_units")
        rows: Rows = await self._batches.run(QUERIES[name], {"errand": errand})
        if not rows:
            return Batch(True, False, 0, [])
        _, done, units, closed = rows[0]
        if done:
            await self._batches.run(QUERIES["end_errand"], {"errand": errand})
        return Batch(done, True, units, [(box, (unit, attempt)) for box, unit, attempt in closed])

    async def tidy(self) -> int:
        """Discard what nobody goes on loading, and forget old keys; return how many loads."""
        abandoned = await self._batches.run(QUERIES["abandoned_loads"], {"lock_class": LOAD_LOCK})
        for (order,) in abandoned:
            await self._batches.run(QUERIES["discard_order"], {"order": order})
        await self._batches.run(QUERIES["forget_keys"])
        return len(abandoned)

    # ---- accounts

    async def set_account(
        self, name: str, *, weight: float | None, cap: int | None, sets_cap: bool
    ) -> dict[str, Any]:
        """Give the account *name* a weight, a cap or both; return what it has now."""
        ((weighs, capped, units),) = await self._person.run(
            QUERIES["set_account"],
            {"name": name, "weight": weight, "cap": cap, "sets_cap": sets_cap},
        )
        return {"account": name, "weight": weighs, "cap": capped, "open": units}


_ORDER_QUERIES = {
    Verb.CANCEL: "cancel_order",
    Verb.HOLD: "hold_order",
    Verb.RELEASE: "release_order",
    Verb.PRIORITY: "prioritize_order",
}


def _cancelled() -> RefusedError:
    return RefusedError("the order is being cancelled", "RT409")
