"""``rtb orders place``, and what can be done to an order that is placed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from rtb.cli.api import api_option
from rtb.cli.asking import ask, output_option, show

__all__ = ["VERBS", "forecast", "place"]

_KINDS = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".csv": "text/csv",
}
_MEGABYTE = 1_000_000
#: Seconds between two words of how far it is.
_SHOWN_EVERY = 0.5


class _Watched:
    """An open file; says on a terminal how much of it has been read."""

    def __init__(self, file: Any, size: int, reactor: Any) -> None:
        self._file = file
        self._size = size
        self._reactor = reactor
        self._read = 0
        self._shown = -_SHOWN_EVERY
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, most: int) -> bytes:
        """Return at most *most* more bytes."""
        data: bytes = self._file.read(most)
        self._read += len(data)
        now = self._reactor.seconds()
        if sys.stderr.isatty() and (not data or now - self._shown >= _SHOWN_EVERY):
            self._shown = now
            sent, size = self._read / _MEGABYTE, self._size / _MEGABYTE
            click.echo(f"\r{sent:.1f} of {size:.1f} MB sent", err=True, nl=not data)
        return data


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--account", help="Whose order it is.")
@click.option("--name", help="What to call it.")
@click.option("--workload", help="What is to be done with each unit.")
@click.option("--priority", type=int, help="Inside the account; higher goes first.")
@click.option("--not-before", help="When it may begin, as RFC 3339 has it, with the offset.")
@click.option("--label", "labels", multiple=True, help="KEY:VALUE; any number of times.")
@click.option("--partly", is_flag=True, help="Leave bad lines out; without it nothing is placed.")
@click.option("--key", help="Sent again with the same file, it is placed only once.")
@api_option
@output_option
def place(file: Path, api: str | None, output: str, key: str | None, **about: Any) -> None:
    """Place an order of the units in FILE.

    What a line is says its ending: .jsonl is JSON a line, .csv has a header, and .json is a whole
    order that says everything itself. In any other file a line is the name of a unit.
    """
    kind = _KINDS.get(file.suffix.lower(), "text/plain")
    query = _query(**about)
    if query and kind == "application/json":
        raise click.UsageError("a whole order says in its file what it is: leave the options out")

    async def work(client: Any, reactor: Any) -> None:
        from twisted.web.client import FileBodyProducer

        with file.open("rb") as opened:
            body = FileBodyProducer(_Watched(opened, file.stat().st_size, reactor))
            placed = await client.place_lines(body, kind, key=key, query=query)
        show(output, placed, [placed], lambda: _placed(placed))

    ask(api, work)


def _query(labels: tuple[str, ...], partly: bool, **about: Any) -> dict[str, Any]:
    query = {name: str(value) for name, value in about.items() if value is not None}
    return (
        query
        | ({"label": list(labels)} if labels else {})
        | ({"atomic": "false"} if partly else {})
    )


def _placed(placed: Any) -> str:
    lines = [f"order {placed['id']}: {placed['units']} units"]
    if placed.get("refused"):
        lines.append(f"{placed['refused']} lines refused:")
        lines += [f"  line {bad['line']}: {bad['reason']}" for bad in placed["errors"]]
    if "hint" in placed:
        lines.append(placed["hint"])
    return "\n".join(lines)


@click.command()
@click.argument("order", type=click.IntRange(1))
@api_option
@output_option
def forecast(order: int, api: str | None, output: str) -> None:
    """Say when ORDER goes on and ends, and why it waits."""

    async def work(client: Any, _: Any) -> None:
        said = await client.forecast(order)
        show(output, said, [said], lambda: _expected(said))

    ask(api, work)


def _expected(said: Any) -> str:
    facts = [("code", f"{said['code']}: {said['why']}"), ("place", said["rank"])]
    facts += [("starts", said["starts_at"]), ("ends", said["ends_at"])]
    if said["ends_between"]:
        facts.append(("between", " and ".join(said["ends_between"])))
    return "\n".join(f"{name:<8} {value}" for name, value in facts if value is not None)


def _verb(verb: str, words: str) -> click.Command:
    @click.command(verb, help=words)
    @click.argument("order", type=click.IntRange(1))
    @click.option("--why", default="", help="What its history is to say.")
    @api_option
    def do(order: int, api: str | None, why: str, **how: Any) -> None:
        async def work(client: Any, _: Any) -> None:
            done = await client.change_order(order, verb, why=why, **how)
            click.echo(json.dumps(done))

        ask(api, work)

    if verb == "priority":
        do.params.insert(1, click.Argument(["priority"], type=int))
    return do


#: One command for each verb of an order.
VERBS = [
    _verb("cancel", "Cancel ORDER for good; running units are told to stop."),
    _verb("hold", "Hand out nothing more of ORDER until it is released."),
    _verb("release", "Hand out units of ORDER again."),
    _verb("retry", "Begin a new round for each unit of ORDER that ended in error."),
    _verb("priority", "Give ORDER another PRIORITY inside its account; higher goes first."),
]
