"""``rtb orders``: orders, and what came of them."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import click

from rtb.cli.api import api_option
from rtb.cli.asking import ask, clock, columns, output_option, show
from rtb.cli.place import create
from rtb.cli.progress import Bar
from rtb.cli.standing import forecast, priority
from rtb.cli.verbs import of_order

__all__ = ["orders"]

_COUNTS = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled", "total")
_FIELDS = ("id", "name", "status", "attempts", "failures", "losses", "error", "result")


@click.group()
def orders() -> None:
    """Place orders, look at them, change them, and take their results home."""


orders.add_command(create)
orders.add_command(forecast)
orders.add_command(priority)
for _verb in ("cancel", "hold", "release", "retry"):
    orders.add_command(of_order(_verb))


@orders.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@api_option
@output_option
def list_(limit: int, api: str | None, output: str) -> None:
    """Show the newest orders."""

    async def work(client: Any, _: Any) -> None:
        rows = (await client.orders(limit=limit))["orders"]
        head = ("id", "account", "name", "status", "created", *_COUNTS)
        show(output, rows, rows, lambda: columns(head, [_row(row) for row in rows], left=5))

    ask(api, work)


def _row(order: Any) -> list[Any]:
    units = order["units"]
    created = clock(order["created_at"])
    return [
        order["id"], order["account"], order["name"] or "-", order["status"], created,
        *(units[name] for name in _COUNTS),
    ]  # fmt: skip


@orders.command("show")
@click.argument("order", type=click.IntRange(1))
@click.option("--wait", type=click.FloatRange(0, 60), help="Seconds to wait until it is done.")
@api_option
@output_option
def show_(order: int, wait: float | None, api: str | None, output: str) -> None:
    """Show one order; exit code 4 where there is none of that id."""

    async def work(client: Any, _: Any) -> None:
        found = await client.order(order, wait=wait)
        show(output, found, [found], lambda: _card(found))

    ask(api, work)


def _card(order: Any) -> str:
    facts = [(name, order[name]) for name in ("id", "account", "name", "workload", "status")]
    facts += [("created", clock(order["created_at"])), ("finished", clock(order["finished_at"]))]
    if order.get("pruned_at"):
        facts.append(("units gone", clock(order["pruned_at"])))
    facts += [(name, order["units"][name]) for name in _COUNTS]
    lines = [f"{name:<11} {value}" for name, value in facts]
    for deed in order["history"]:
        why = f": {deed['why']}" if "why" in deed else ""
        lines.append(f"{clock(deed['at'])} {deed['verb']} of {deed['units']} units{why}")
    return "\n".join(lines)


@orders.command()
@click.argument("order", type=click.IntRange(1))
@click.option("--status", help="Only units in this status.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV in place of JSON lines.")
@api_option
def export(order: int, status: str | None, as_csv: bool, api: str | None) -> None:
    """Write all units of ORDER with their results to standard output, however many they are."""

    async def work(client: Any, _: Any) -> None:
        sink = _Csv() if as_csv else _Lines()
        units = (await client.order(order))["units"]
        bar = Bar("export", units.get(status, units["total"]) if status else units["total"])

        def take(data: bytes) -> None:
            sink.take(data)
            bar.to(sink.count)

        try:
            await client.all_units(order, take, status=status)
        finally:
            bar.end()
        sink.end()
        click.echo(f"{sink.count} units", err=True)

    ask(api, work)


class _Lines:
    """Passes JSON lines on as they come."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, data: bytes) -> None:
        """Write a piece."""
        self.count += data.count(b"\n")
        sys.stdout.buffer.write(data)

    def end(self) -> None:
        """Write what is left."""
        sys.stdout.buffer.flush()


class _Csv:
    """Makes a row of each line."""

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""
        self._writer = csv.writer(sys.stdout)
        self._writer.writerow(_FIELDS)

    def take(self, data: bytes) -> None:
        """Write the rows that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            unit = json.loads(line)
            result = unit["result"]
            unit["result"] = "" if result is None else json.dumps(result, ensure_ascii=False)
            self._writer.writerow([_safe(unit[name]) for name in _FIELDS])
            self.count += 1

    def end(self) -> None:
        """Write what is left."""
        sys.stdout.flush()


def _safe(value: Any) -> Any:
    # A spreadsheet takes a text that begins so for a formula.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "@") else value
