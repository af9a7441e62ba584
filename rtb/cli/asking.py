"""Commands that ask the API something, and show what it says."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn

import click

from rtb.cli.api import base_url
from rtb.cli.running import run

__all__ = ["ask", "clock", "columns", "output_option", "show"]

#: ``-o``, for commands that show something.
output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="How to show it: for people, as one JSON value, or as a JSON value a line.",
)


def ask(api: str | None, work: Callable[[Any, Any], Awaitable[int | None]]) -> NoReturn:
    """Run ``work(client, reactor)``, and leave with what it returns."""

    async def main(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        from rtb.client import Client

        client = Client(base_url(api), reactor)
        try:
            return await work(client, reactor) or 0
        finally:
            await client.close()

    run(main)


def show(output: str, value: Any, rows: Sequence[Any], table: Callable[[], str]) -> None:
    """Show *value* as JSON, each of *rows* as a line of JSON, or *table* for people."""
    if output == "json":
        click.echo(json.dumps(value, ensure_ascii=False, indent=2))
    elif output == "jsonl":
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        click.echo(table())


def columns(head: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Return *rows* below *head* in columns, the first *left* of them flush left."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    wide = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, wide, strict=True))
        ).rstrip()
        for line in lines
    )


def clock(moment: str | None) -> str:
    """Return a time of the API as people write it."""
    return moment.replace("T", " ").partition(".")[0] if moment else "-"
