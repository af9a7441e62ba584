"""One picture of everything, from one look at the ledger. Pure: rows in, JSON-ready values out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec

from rtb.api.live.bottleneck import Flow
from rtb.ledger import RUNNING_MOST, Glance
from rtb.model.lifecycle import Status

__all__ = ["AGENTS", "ORDERS", "TICKS", "flow", "paint"]

#: How many orders and agents a picture shows at most; a frame has 8 KB.
ORDERS = 12
AGENTS = 16
TICKS = 8
_UNITS_OF_AGENT = 3
_TEXT = 60
_STATUSES = tuple(status.value for status in Status)


def paint(glance: Glance, lost_after: float) -> dict[str, Any]:
    """Return what *glance* shows.

    :param lost_after: seconds of silence after which an agent counts as lost
    """
    units = _counts(glance.counts)
    boxes = [_box(row) for row in glance.boxes]
    running = _by_agent(glance)
    agents = [_agent(row, running, lost_after) for row in glance.agents]
    agents.sort(key=lambda agent: (agent["presence"] != "lost", agent["name"]))
    alive = [agent for agent in agents if agent["presence"] != "lost"]
    return {
        "going": glance.going,
        "units": units,
        "boxes": boxes[:8],
        "agents": agents[:AGENTS],
        "agents_total": len(agents),
        "agents_alive": len(alive),
        "orders": [_order(row) for row in glance.orders],
        "ticker": [_tick(row) for row in glance.news if row[4] != "claimed"][-TICKS:],
    }


def flow(painted: Mapping[str, Any]) -> Flow:
    """Return how full each stage is in what was *painted*."""
    active = [box for box in painted["boxes"] if box["active"]]
    return Flow(
        going=painted["going"],
        waiting=painted["units"]["waiting"],
        held=sum(box["sent"] + box["queued"] for box in active),
        capacity=sum(box["capacity"] for box in active),
        processing=sum(box["processing"] for box in active),
        slots=sum(box["slots"] for box in active),
        leaders=len(active),
        agents=painted["agents_alive"],
        inbox=painted["queues"]["in"],
    )


def _counts(counts: Any) -> dict[str, int]:
    return {**dict(zip(_STATUSES, counts, strict=True)), "total": sum(counts)}


def _ms(seconds: float | None) -> int | None:
    return round(seconds * 1000) if seconds is not None else None


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"


def _box(row: tuple[Any, ...]) -> dict[str, Any]:
    (
        name,
        active,
        capacity,
        sent,
        queued,
        processing,
        utilization,
        slots,
        busy,
        _,
        flying,
        launcher,
    ) = row
    box = {
        "box": name,
        "active": active,
        "capacity": capacity,
        "sent": sent,
        "queued": queued,
        "processing": processing,
        "fill": round(utilization, 3),
        "slots": slots if active else 0,
        "busy": busy if active else 0,
        "flying": flying,
    }
    if launcher is not None:
        box["launcher"] = _launcher(msgspec.json.decode(launcher))
    return box


def _launcher(says: dict[str, Any]) -> dict[str, str]:
    """Return what a launcher does in one line, and what keeps it from doing better."""
    counts = "{wanted} wanted, {starting} start, {running} run, {leaving} leave".format(**says)
    state = f", service {says['state']}" if says["state"] else ""
    return {"line": f"{says['kind']}: {counts}{state}", "problem": says["problem"][:200]}


def _by_agent(glance: Glance) -> dict[str, list[dict[str, Any]]] | None:
    if glance.running is None or len(glance.running) >= RUNNING_MOST:
        return None  # not all of them: what the agents said of themselves is better
    units: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for unit, name, who, since in glance.running:
        incarnation = who.rpartition("/")[2]
        units[incarnation].append({"id": unit, "name": _short(name), "since": _ms(since)})
    return units


def _agent(
    row: tuple[Any, ...], running: dict[str, list[dict[str, Any]]] | None, lost_after: float
) -> dict[str, Any]:
    incarnation, name, host, box, presence, draining, slots, busy, seen, silent, container = row
    lost = silent > lost_after
    units = [] if running is None else running.get(incarnation, [])
    return {
        "id": incarnation,
        "name": _short(name),
        "host": _short(f"{host} {container}".strip()),
        "box": box,
        "presence": "lost" if lost else "draining" if draining else presence,
        "slots": slots,
        "busy": busy if running is None else len(units),
        "seen": _ms(seen) if lost else None,
        "units": units[:_UNITS_OF_AGENT],
    }


def _order(row: tuple[Any, ...]) -> dict[str, Any]:
    order, account, name, workload, created, finished, held, ending, *counts = row
    return {
        "id": order,
        "account": _short(account),
        "name": _short(name),
        "workload": _short(workload),
        "created": _ms(created),
        "finished": _ms(finished),
        "held": held,
        "ending": ending,
        "units": counts,
    }


def _tick(row: tuple[Any, ...]) -> list[Any]:
    event, unit, name, at, kind, who, ran = row
    label = who.rpartition("/")[0] or who
    return [event, _ms(at), unit, _short(name), kind, _short(label), ran]
