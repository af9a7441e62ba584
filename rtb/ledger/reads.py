"""What people look at, as JSON-ready dictionaries. Nothing here changes the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from rtb.ledger.errors import LedgerError, SchemaError, units_pruned
from rtb.ledger.lane import Lane, Rows, only
from rtb.ledger.queries import QUERIES
from rtb.ledger.timeline import merged

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["Page", "Reads"]

_STATUSES = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled")
_SETTLED = ("success", "error", "cancelled")
_LIMIT = 2.0
#: Of the look that readiness takes: it is to say what is wrong before whoever asked gives up.
_PROBE_LIMIT = 1.0
#: Rows per round trip of a stream: with results of 64 KiB that is 13 MB at most.
_STREAM_ROWS = 200
_LARGEST = 2**63 - 1
#: How many of what people did to an order are shown.
_DEEDS = 100


@attrs.frozen
class Page:
    """Some rows, and where the next ones begin; None where these are the last."""

    items: list[dict[str, Any]]
    cursor: int | None


class Reads:
    """The ledger, for those who look: on connections of their own, each with a limit of 2 s."""

    def __init__(
        self,
        reactor: Any,
        database: Database,
        tables_gone: Callable[[SchemaError], None] = lambda problem: None,
    ) -> None:
        def lane(op: str, limit: float = _LIMIT) -> Lane:
            return Lane(reactor, database, op=op, limit=limit, tables_gone=tables_gone)

        self._glance, self._pages, self._streams = lane("look"), lane("list"), lane("stream")
        self._probe = lane("probe", _PROBE_LIMIT)

    def close(self) -> None:
        """Close all connections."""
        for lane in (self._glance, self._pages, self._streams, self._probe):
            lane.close()

    async def problem(self) -> str:
        """Return why the ledger does not answer now; empty when it does."""
        try:
            await self._probe.run("SELECT 1")
        except LedgerError as problem:
            return str(problem)
        return ""

    async def summary(self) -> dict[str, Any]:
        """Return what ``GET /`` says."""
        going, *counts = only(await self._glance.run(QUERIES["summary"]))
        leaders = await self._glance.run(QUERIES["leaders"])
        return {
            "units": _counts(counts),
            "going": going,
            "leaders": [_leader(row) for row in leaders],
        }

    async def next_units(self, limit: int) -> list[dict[str, Any]]:
        """Return the *limit* units that are first in line."""
        names = ("id", "name", "order", "account", "workload", "attempts")
        rows = await self._glance.run(QUERIES["next"], {"limit": limit})
        return [dict(zip(names, row[:-1], strict=True)) for row in rows]

    async def orders(
        self,
        limit: int,
        cursor: int | None,
        *,
        account: str | None = None,
        labels: Mapping[str, str] | None = None,
        loading: bool = False,
    ) -> Page:
        """Return orders, newest first: of *account*, with all *labels*; or those that load."""
        rows = await self._pages.run(
            QUERIES["order_page"],
            {
                "before": cursor if cursor is not None else _LARGEST,
                "limit": limit,
                "account": account,
                "labels": msgspec.json.encode(labels or {}).decode(),
                "loading": loading,
            },
        )
        return _page([_order(row) for row in rows], limit)

    async def order(self, order: int) -> dict[str, Any] | None:
        """Return one order with its counts, and what people did to it last."""
        rows = await self._pages.run(QUERIES["order"], {"order": order})
        if not rows:
            return None
        deeds = await self._pages.run(QUERIES["deeds"], {"order": order, "limit": _DEEDS})
        return {**_order(rows[0]), "history": [_deed(deed) for deed in reversed(deeds)]}

    async def units(
        self, order: int, status: str | None, limit: int, cursor: int | None
    ) -> Page | None:
        """Return units of *order*, oldest first; None if there is no such order.

        :raises RefusedError: they were pruned
        """
        rows = await self._unit_rows(self._pages, order, status, limit, cursor or 0)
        if not rows and not await self._exists(order):
            return None
        return _page([_unit(row) for row in rows], limit)

    async def all_units(
        self, order: int, status: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield all units of *order*, some at a time, oldest first.

        :raises RefusedError: they were pruned, maybe meanwhile
        """
        after = 0
        while rows := await self._unit_rows(self._streams, order, status, _STREAM_ROWS, after):
            yield [_unit(row) for row in rows]
            after = rows[-1][0]
        await self._exists(order)

    async def unit(self, unit: int) -> dict[str, Any] | None:
        """Return one unit with its history: what happened to it, and what people did to it."""
        rows = await self._pages.run(QUERIES["unit"], {"unit": unit})
        if not rows:
            return None
        *row, payload, box, holder = rows[0]
        events = await self._pages.run(QUERIES["history"], {"unit": unit})
        deeds = await self._pages.run(QUERIES["deeds_of_unit"], {"unit": unit})
        return {
            **_unit(row),
            "payload": _json(payload),
            "box": box,
            "holder": holder,
            "history": [
                {**moment, "at": _time(moment["at"])}
                for moment in merged(map(_event, events), map(_deed_of_unit, deeds))
            ],
        }

    async def agents(self) -> list[dict[str, Any]]:
        """Return the agents that leaders reported."""
        names = ("id", "name", "host", "box", "presence", "slots", "busy", "workloads", "seen_at",
                 "container", "log")  # fmt: skip
        rows = await self._pages.run(QUERIES["agents"])
        found = [dict(zip(names, row, strict=True)) for row in rows]
        return [{**agent, "seen_at": _time(agent["seen_at"])} for agent in found]

    async def _unit_rows(
        self, lane: Lane, order: int, status: str | None, limit: int, after: int
    ) -> Rows:
        return await lane.run(
            QUERIES["unit_page"],
            {"order": order, "status": status, "limit": limit, "after": after},
        )

    async def _exists(self, order: int) -> bool:
        rows = await self._pages.run(QUERIES["order_exists"], {"order": order})
        if rows and rows[0][0]:
            raise units_pruned(order)
        return bool(rows)


def _page(items: list[dict[str, Any]], limit: int) -> Page:
    return Page(items, items[-1]["id"] if len(items) == limit else None)


def _counts(counts: list[int]) -> dict[str, int]:
    return {**dict(zip(_STATUSES, counts, strict=True)), "total": sum(counts)}


def _leader(row: tuple[Any, ...]) -> dict[str, Any]:
    names = (
        "box",
        "incarnation",
        "state",
        "capacity",
        "queued",
        "sent",
        "utilization",
        "slots",
        "busy",
        "workloads",
        "agents",
        "reported_at",
        "launcher",
        "launched",
    )
    leader = dict(zip(names, row, strict=True))
    leader["state"] = "active" if leader["state"] else "away"
    leader["utilization"] = round(leader["utilization"], 4)
    leader["reported_at"] = _time(leader["reported_at"])
    # Only where a launcher is: nobody else's answer changes.
    for name in ("launcher", "launched"):
        text = leader.pop(name)
        if text is not None:
            leader[name] = msgspec.json.decode(text)
    return leader


def _order(row: tuple[Any, ...]) -> dict[str, Any]:
    order, account, name, workload, priority, created_at, finished_at, *more = row
    labels, state, not_before, held_at, held_why, failures, limit, pruned_at, *more = more
    rate, errands, *counts = more
    units = _counts([count or 0 for count in counts])
    left = units["total"] - sum(units[status] for status in _SETTLED)
    return {
        "id": order,
        "account": account,
        "name": name,
        "workload": workload,
        "priority": priority,
        "labels": labels,
        "state": state,
        "status": "waiting" if state == "loading" else _roll_up(units),
        "units": units,
        "rate": round(rate or 0.0, 3),
        "eta": round(left / rate, 1) if left and rate and rate > 1e-3 else None,
        "pending": errands or [],
        "max_failures": failures,
        "time_limit": limit,
        "not_before": _time(not_before),
        "held_at": _time(held_at),
        "held_why": held_why,
        "created_at": _time(created_at),
        "finished_at": _time(finished_at),
        "pruned_at": _time(pruned_at),
    }


def _roll_up(units: dict[str, int]) -> str:
    """Return an order's status from its counts."""
    if units["waiting"] == units["total"]:
        return "waiting"
    if sum(units[status] for status in _SETTLED) < units["total"]:
        return "processing"
    for status in ("error", "cancelled"):
        if units[status]:
            return status
    return "success"


def _unit(row: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
    names = (
        "id",
        "order",
        "name",
        "status",
        "attempts",
        "round",
        "failures",
        "losses",
        "not_before",
        "held_at",
        "result",
        "error",
        "held_why",
        "priority",
    )
    unit = dict(zip(names, row, strict=True))
    unit["not_before"] = _time(unit["not_before"])
    unit["held_at"] = _time(unit["held_at"])
    unit["result"] = _json(unit["result"])
    return unit


def _event(row: tuple[Any, ...]) -> dict[str, Any]:
    at, round_, attempt, kind, who, ran, detail, container, log = row
    event = {
        "at": at,
        "round": round_,
        "attempt": attempt,
        "kind": kind,
        "who": who,
        "ran": ran,
    }
    if detail is not None:
        event |= msgspec.json.decode(detail)
    if container is not None:
        event |= {"container": container, "log": log}
    return event


def _deed(row: tuple[Any, ...]) -> dict[str, Any]:
    at, verb, whole, statuses, prefix, why, priority, units = row
    chosen = {} if whole else {"status": statuses, "prefix": prefix}
    deed = {"at": _time(at), "verb": verb, "units": units, **chosen}
    if why:
        deed["why"] = why
    if priority is not None:
        deed["priority"] = priority
    return deed


def _deed_of_unit(row: tuple[Any, ...]) -> dict[str, Any]:
    at, *rest = row
    names = ("verb", "whole", "why", "priority")
    return {"at": at, **dict(zip(names, rest, strict=True))}


def _json(text: str | None) -> msgspec.Raw | None:
    return msgspec.Raw(text.encode()) if text is not None else None


def _time(moment: datetime | None) -> str | None:
    """Return *moment* as RFC 3339 in UTC."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None
