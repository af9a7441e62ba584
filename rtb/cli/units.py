"""``rtb units``: single units, and all that happened to one."""

from __future__ import annotations

import json
from typing import Any

import click

from rtb.cli.api import api_option
from rtb.cli.asking import ask, clock, columns, output_option, show
from rtb.cli.verbs import of_unit

__all__ = ["units"]

_FACTS = ("id", "name", "order", "status", "attempts", "failures", "losses", "box", "error")


@click.group()
def units() -> None:
    """Look at units, or change one."""


for _verb in ("cancel", "hold", "release", "retry"):
    units.add_command(of_unit(_verb))


@units.command("list")
@click.argument("order", type=click.IntRange(1))
@click.option("--status", help="Only units in this status.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@api_option
@output_option
def list_(order: int, status: str | None, limit: int, api: str | None, output: str) -> None:
    """Show units of ORDER."""

    async def work(client: Any, _: Any) -> None:
        rows = (await client.units(order, status=status, limit=limit))["units"]
        head = ("id", "name", "status", "attempts", "waits for", "error")
        table = [
            [row["id"], row["name"], row["status"], row["attempts"],
             row["waits"]["code"] if row["waits"] else "-", (row["error"] or "-")[:60]]
            for row in rows
        ]  # fmt: skip
        show(output, rows, rows, lambda: columns(head, table, left=6))

    ask(api, work)


@units.command("show")
@click.argument("unit", type=click.IntRange(1))
@api_option
@output_option
def show_(unit: int, api: str | None, output: str) -> None:
    """Show one unit: what happened to it, its error and what it printed."""

    async def work(client: Any, _: Any) -> None:
        found = await client.unit(unit)
        show(output, found, [found], lambda: _story(found))

    ask(api, work)


def _story(unit: Any) -> str:
    lines = [f"{name:<9} {unit[name]}" for name in _FACTS if unit[name] not in (None, "")]
    if unit["waits"]:
        lines.append(f"{'waits':<9} {unit['waits']['code']}: {unit['waits']['why']}")
    for name in ("payload", "result"):
        if unit[name] is not None:
            lines.append(f"{name:<9} {json.dumps(unit[name], ensure_ascii=False)}")
    head = ("at", "attempt", "what", "who", "ran", "why")
    table = [
        [clock(event["at"]), event["attempt"], event["kind"], event["who"].partition("/")[0],
         "-" if event["ran"] is None else f"{event['ran']:.2f} s", event.get("why", "")]
        for event in unit["history"]
    ]  # fmt: skip
    story = columns(head, table, left=4) if table else "nothing has happened to it yet"
    logs = [event["log"] for event in unit["history"] if event.get("log")]
    story += f"\n\nlog of its last agent: {logs[-1]}" if logs else ""
    printed = [event["output"] for event in unit["history"] if event.get("output")]
    output = f"\n\nwhat it printed last:\n{printed[-1]}" if printed else ""
    return "\n".join([*lines, "", story]) + output
