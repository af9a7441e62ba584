"""What needs somebody: a list of work in place of a wall of charts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rtb.ledger import Trouble

__all__ = ["attention"]

#: A unit that runs this many times as long as 95 of 100 do, and at least this many seconds.
_OVERDUE_TIMES = 5.0
_OVERDUE_LEAST = 60.0
_SHOWN = 8


def attention(
    picture: Mapping[str, Any], parts: Mapping[str, str], trouble: Trouble | None, now: float
) -> list[dict[str, Any]]:
    """Return what needs somebody, the worst first; empty where nothing does."""
    items = [*_parts(parts), *_line(picture), *_dead(picture), *_agents(picture)]
    if trouble is not None:
        items += [*_errors(trouble), *_overdue(picture, trouble, now)]
    return items[:_SHOWN]


def _item(kind: str, text: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "text": text, **more}


def _parts(parts: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    names = {"ledger": "PostgreSQL", "broker": "RabbitMQ", "inbox": "inbox"}
    for part, state in parts.items():
        if state != "ready":
            yield _item("down", f"{names.get(part, part)}: {state[:200]}")


def _line(picture: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    waiting = picture["units"]["waiting"]
    left = sum(picture["units"][name] for name in ("waiting", "sent", "queued", "processing"))
    if waiting and not picture["going"]:
        yield _item("go", f"{waiting} units wait, and nothing is handed out", action="go")
    active = [box for box in picture["boxes"] if box["active"]]
    if left and not active:
        yield _item("leader", "no leader reports: start twistd rtb-leader")
    elif left and active and not any(box["slots"] or "launcher" in box for box in active):
        yield _item("agents", "no agent is there to run units: start twistd rtb-agent")
    for box in picture["boxes"]:
        if box["active"] and box.get("launcher", {}).get("problem"):
            yield _item("launcher", f"box {box['box']}: {box['launcher']['problem']}")
        if not box["active"]:
            holds = " and units are still booked to it" if box["flying"] else ""
            yield _item("box", f"box {box['box']} has no leader{holds}", box=box["box"])


def _dead(picture: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    dead = picture["queues"]["dead"]
    if dead:
        yield _item("dead", "in the queue dead: messages that could not be used", count=dead)


def _agents(picture: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    for agent in picture["agents"]:
        if agent["presence"] == "lost":
            yield _item(
                "lost", f"agent {agent['name']} on {agent['host']} is not heard any more",
                agent=agent["id"], since=agent["seen"],
            )  # fmt: skip


def _errors(trouble: Trouble) -> Iterable[dict[str, Any]]:
    for message, count, first, last, unit, order, orders in trouble.errors:
        yield _item(
            "error", message or "no message", count=count, since=_ms(first), last=_ms(last),
            unit=unit, order=order, orders=orders,
        )  # fmt: skip


def _overdue(picture: Mapping[str, Any], trouble: Trouble, now: float) -> Iterable[dict[str, Any]]:
    least = max(_OVERDUE_LEAST, _OVERDUE_TIMES * (trouble.usual or 0.0))
    late = [
        unit
        for agent in picture["agents"]
        for unit in agent["units"]
        if now - unit["since"] / 1000 > least
    ]
    if late:
        unit = min(late, key=lambda unit: unit["since"])
        usual = f", 95 of 100 take at most {trouble.usual:.1f} s" if trouble.usual else ""
        yield _item(
            "overdue", f"unit {unit['name']} runs for long{usual}", count=len(late),
            since=unit["since"], unit=unit["id"],
        )  # fmt: skip
    if trouble.unvouched:
        text = "in flight, and nobody has vouched for them for two epochs: soon taken back"
        yield _item("unvouched", text, count=trouble.unvouched)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
