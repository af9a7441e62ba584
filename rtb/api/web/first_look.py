"""What the page shows before, or without, its script: the same numbers, as HTML. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

__all__ = ["PIECES"]

#: Each status as it is told apart: by a letter and a word, and only then by a colour.
_STATUSES = (
    ("waiting", "W", "waiting"),
    ("queued", "Q", "queued"),
    ("processing", "▶", "processing"),
    ("success", "✓", "success"),
    ("error", "✕", "error"),
)
_BAR = ("success", "error", "cancelled", "processing", "queued", "sent", "waiting")
_ORDER = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled")
_Picture = Mapping[str, Any]


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _element(tag: str, text: object, **attributes: str) -> str:
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{named}>{escape(str(text))}</{tag}>"


def _bar(units: Mapping[str, int]) -> str:
    total = sum(units[name] for name in _BAR) or 1
    parts, left = [], 0.0
    for name in _BAR:
        width = 100 * units[name] / total
        if width:
            parts.append(
                f'<rect class="f-{name}" x="{left:.3f}" width="{width:.3f}" height="1"></rect>'
            )
        left += width
    return (
        '<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">'
        f"{''.join(parts)}</svg>"
    )


def _tiles(picture: _Picture) -> str:
    units = dict(picture["units"])
    shown = {**units, "queued": units["queued"] + units["sent"]}
    tiles = []
    for name, letter, word in _STATUSES:
        tiles.append(
            f'<button class="tile t-{name}" data-status="{name}" aria-pressed="false">'
            f'<span class="tile-name"><b class="mark">{letter}</b> {word}</span>'
            f'<span class="tile-count" data-count="{name}">{_number(shown[name])}</span>'
            f'<span class="tile-note" data-note="{name}"></span></button>'
        )
    return "".join(tiles)


def _total(picture: _Picture) -> str:
    return _number(picture["units"]["total"])


def _sentence(picture: _Picture) -> str:
    units = picture["units"]
    done = units["success"] + units["error"] + units["cancelled"]
    state = "going" if picture["going"] else "stopped"
    return escape(
        f"{state}; {_number(done)} of {_number(units['total'])} units done, "
        f"{_number(units['error'])} in error; {picture['limit']['why']}"
    )


def _attention(picture: _Picture) -> str:
    items = [
        f'<li class="item"><span class="item-text">{escape(item["text"])}</span></li>'
        for item in picture["attention"]
    ]
    return "".join(items) or '<li class="calm">Nothing needs you.</li>'


def _orders(picture: _Picture) -> str:
    rows = []
    for order in picture["orders"]:
        units = dict(zip(_ORDER, order["units"], strict=True))
        total = sum(order["units"]) or 1
        settled = units["success"] + units["error"] + units["cancelled"]
        flying = units["sent"] + units["queued"]
        cells = [
            _element("td", order["name"] or f"order {order['id']}", class_="order-name"),
            *(
                _element("td", _number(value), class_=f"num c-{name}")
                for name, value in (
                    ("waiting", units["waiting"]), ("queued", flying),
                    ("processing", units["processing"]), ("error", units["error"]),
                    ("success", units["success"]),
                )
            ),
            f'<td class="bar-cell">{_bar(units)}</td>',
            _element("td", f"{100 * settled // total} %", class_="num"),
        ]  # fmt: skip
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(rows)


def _agents(picture: _Picture) -> str:
    return "".join(
        f'<li class="agent">{escape(agent["name"])}: {agent["busy"]} of {agent["slots"]} slots, '
        f"{escape(agent['presence'])}</li>"
        for agent in picture["agents"]
    )


def _moment(picture: _Picture) -> str:
    moment = datetime.fromtimestamp(picture["at"] / 1000, UTC)
    return f"{moment:%H:%M:%S} UTC"


#: The pieces of the template.
PIECES: Mapping[str, Callable[[_Picture], str]] = {
    "tiles": _tiles,
    "total": _total,
    "bar": lambda picture: _bar(picture["units"]),
    "sentence": _sentence,
    "attention": _attention,
    "orders": _orders,
    "agents": _agents,
    "moment": _moment,
}
