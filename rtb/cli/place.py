"""``rtb orders create``: an order whose units come from a file or a pipe, a line each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import click

from rtb.cli.api import api_option
from rtb.cli.asking import ask, output_option, show
from rtb.cli.progress import Bar

__all__ = ["create"]

_KINDS = {".csv": "text/csv", ".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson"}


class _Counted:
    """A file whose reader is watched."""

    def __init__(self, file: IO[bytes], bar: Bar) -> None:
        self._file = file
        self._bar = bar

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        data = self._file.read(size)
        self._bar.add(len(data) / 1e6)
        return data

    def close(self) -> None:
        """Close it."""
        self._file.close()


@click.command()
@click.argument("name")
@click.option(
    "--units",
    "file",
    type=click.File("rb"),
    required=True,
    help="A unit a line: plain names, .csv or .jsonl; - for standard input.",
)
@click.option("--account", default="default", show_default=True)
@click.option("--workload", default="default", show_default=True)
@click.option("--priority", type=int)
@click.option("--not-before", help="When it may begin, as RFC 3339 has it, with the offset.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="May be given again.")
@click.option("--kind", type=click.Choice(["lines", "csv", "jsonl"]), help="[default: by suffix]")
@click.option("--partial", is_flag=True, help="Take the good lines of a file that has bad ones.")
@click.option("--idempotency-key", "key", help="The same again with it places nothing.")
@click.option("--wait", is_flag=True, help="Until it is done; exit code 3 if some units failed.")
@api_option
@output_option
def create(
    name: str,
    file: IO[bytes],
    account: str,
    workload: str,
    priority: int | None,
    not_before: str | None,
    labels: tuple[str, ...],
    kind: str | None,
    partial: bool,
    key: str | None,
    wait: bool,
    api: str | None,
    output: str,
) -> None:
    """Place an order NAME; it is visible when its last line is in.

    rtb orders create april --units scenes.csv --account jane --wait
    """
    media = _KINDS.get(f".{kind}" if kind else Path(file.name).suffix.lower(), "text/plain")
    query: dict[str, Any] = {"account": account, "name": name, "workload": workload}
    query |= {"priority": str(priority)} if priority is not None else {}
    query |= {"not_before": not_before} if not_before else {}
    query |= {"label": list(labels)} if labels else {}
    query |= {"atomic": "false"} if partial else {}

    async def work(client: Any, reactor: Any) -> int:
        from twisted.web.client import FileBodyProducer

        bar = Bar("intake", _megabytes(file), "MB")
        try:
            body = FileBodyProducer(_Counted(file, bar))
            placed = await client.place_lines(body, media, key=key, query=query)
        finally:
            bar.end()
        show(output, placed, [placed], lambda: _placed(placed))
        if placed.get("hint"):
            click.echo(placed["hint"], err=True)
        return await _done(client, placed["id"], placed["units"]) if wait else 0

    ask(api, work)


def _placed(placed: Any) -> str:
    lines = [f"order {placed['id']}: {placed['units']} units"]
    if placed.get("refused"):
        lines.append(f"{placed['refused']} lines refused:")
        lines += [f"  line {bad['line']}: {bad['reason']}" for bad in placed["errors"]]
    return "\n".join(lines)


def _megabytes(file: IO[bytes]) -> float | None:
    try:
        about = os.fstat(file.fileno())
    except OSError:
        return None
    return about.st_size / 1e6 or None


async def _done(client: Any, order: int, units: int) -> int:
    bar = Bar("units", units)
    try:
        while True:
            found = await client.order(order, wait=1)
            counts = found["units"]
            bar.to(counts["success"] + counts["error"] + counts["cancelled"], counts["total"])
            if found["finished_at"] is not None:
                return 0 if counts["success"] == counts["total"] else 3
    finally:
        bar.end()
