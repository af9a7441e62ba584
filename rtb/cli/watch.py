"""``rtb watch``: a row for each order, drawn again in its place, until a condition holds."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from rtb.cli.api import api_option
from rtb.cli.asking import ask
from rtb.cli.conditions import USUAL, Condition, read, verdict
from rtb.cli.progress import in_time
from rtb.cli.running import TIMED_OUT

__all__ = ["watch"]

_LOOK_EVERY = 1.0
_WIDE = 22
_PARTS = (
    ("success", "█"), ("error", "✕"), ("cancelled", "⊘"), ("processing", "▓"), ("queued", "▒"),
    ("sent", "▒"),
)  # fmt: skip
_SETTLED = ("success", "error", "cancelled")


def _read_all(ctx: click.Context, param: Any, values: tuple[str, ...]) -> list[Condition]:
    try:
        return [read(value) for value in values]
    except ValueError as problem:
        raise click.BadParameter(str(problem), ctx, param) from None


@click.command()
@click.argument("orders", nargs=-1, type=click.IntRange(1), metavar="[ORDER]...")
@click.option(
    "--exit",
    "conditions",
    multiple=True,
    callback=_read_all,
    metavar="HOW,STATUS[,CODE]",
    help="End with CODE when all, any or none of the units are in STATUS; may be given again.",
)
@click.option("--timeout", type=click.FloatRange(0), help="Seconds; then the exit code is 5.")
@click.option("--no-refresh", is_flag=True, help="Lines that follow one another, as in a log.")
@api_option
def watch(
    orders: tuple[int, ...],
    conditions: list[Condition],
    timeout: float | None,
    no_refresh: bool,
    api: str | None,
) -> None:
    """Follow orders, or everything, until all units have come to their end.

    The exit code is 0 when all succeeded and 3 when some did not, unless --exit says otherwise:
    rtb watch 7 --exit all,success,0 --exit any,error,3
    """

    async def work(client: Any, reactor: Any) -> int:
        from twisted.internet.task import deferLater

        began = reactor.seconds()
        screen = _Screen(in_place=sys.stdout.isatty() and not no_refresh)
        rates = _Rates()
        try:
            while True:
                rows, units = await _look(client, orders)
                screen.draw(_picture(rows, units, rates.eta(reactor.seconds(), units)))
                code = verdict(conditions or USUAL, units)
                if code is not None:
                    return code
                if timeout is not None and reactor.seconds() - began >= timeout:
                    click.echo(f"rtb: not so within {timeout:g} s", err=True)
                    return TIMED_OUT
                await deferLater(reactor, _LOOK_EVERY)
        finally:
            screen.end()

    ask(api, work)


async def _look(client: Any, orders: Sequence[int]) -> tuple[list[Any], dict[str, int]]:
    if orders:
        rows = [await client.order(order) for order in orders]
        names = rows[0]["units"].keys()
        return rows, {name: sum(row["units"][name] for row in rows) for name in names}
    page = (await client.orders(limit=20))["orders"]
    return page, msgspec.to_builtins((await client.status()).units)


class _Rates:
    """How long it takes yet, by how fast it went while somebody watched."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def eta(self, now: float, units: dict[str, int]) -> float | None:
        """Return the seconds that are left; None where that is not known."""
        done = sum(units[name] for name in _SETTLED)
        if self._first is None:
            self._first = (now, done)
        at, before = self._first
        return (units["total"] - done) * (now - at) / (done - before) if done > before else None


def _picture(rows: Sequence[Any], units: dict[str, int], eta: float | None) -> str:
    lines = [_line(row["name"] or f"order {row['id']}", row["units"], "") for row in rows]
    left = "" if eta is None else f"eta {in_time(eta)}"
    head = f"{'ORDER':<28} {'waiting':>8} {'queued':>7} {'running':>8} {'error':>6} {'success':>8}"
    return "\n".join([head, *lines, _line("TOTAL", units, left)])


def _line(name: str, units: dict[str, int], left: str) -> str:
    total = units["total"] or 1
    bar, done = "", 0
    for status, sign in _PARTS:
        done += units[status]
        bar += sign * (done * _WIDE // total - len(bar))
    settled = sum(units[status] for status in _SETTLED)
    label = name if len(name) <= 28 else f"{name[:27]}…"
    return (
        f"{label:<28} {units['waiting']:>8} {units['sent'] + units['queued']:>7} "
        f"{units['processing']:>8} {units['error']:>6} {units['success']:>8}  "
        f"{bar:·<{_WIDE}} {100 * settled // total:>3} %  {left}"
    ).rstrip()


class _Screen:
    """Where the picture is drawn: in its place on a terminal, else below the last one."""

    def __init__(self, *, in_place: bool) -> None:
        self._live: Any = None
        self._last = ""
        if in_place:
            from rich.live import Live

            self._live = Live(auto_refresh=False)
            self._live.start()

    def draw(self, picture: str) -> None:
        """Show *picture*, if it is another one."""
        if picture == self._last:
            return
        self._last = picture
        if self._live is None:
            click.echo(picture)
        else:
            from rich.text import Text

            self._live.update(Text(picture, no_wrap=True), refresh=True)

    def end(self) -> None:
        """Leave it as it is."""
        if self._live is not None:
            self._live.stop()
