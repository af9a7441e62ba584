"""``rtb prune``: let old work go by hand."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from rtb.cli.interrupts import Interrupts
from rtb.cli.running import run
from rtb.errors import ConfigurationError
from rtb.model.retention import read_age
from rtb.settings import Settings

__all__ = ["prune"]

_INTERRUPTED = 130
#: Seconds between two lines of progress where nobody watches.
_SAY_EVERY = 10.0


def _age(_ctx: click.Context, _param: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return read_age(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem)) from None


@click.command()
@click.option(
    "--older-than",
    "age",
    metavar="AGE",
    callback=_age,
    help="Of orders that settled so long ago: 30d, 12h, 0s; else RTB_RETENTION says it.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def prune(age: float | None, dry_run: bool, yes: bool) -> None:
    """Delete the units and the history of old settled orders; the orders stay, with their counts.

    It goes to the ledger itself (RTB_DB_HOST or RTB_DATABASE_URL), in small steps that leave
    everybody else their turn, and may be interrupted at any: the next one goes on.
    """

    async def work(reactor: Any) -> int:
        from rtb.ledger import Pruning

        settings = Settings.load({}, os.environ, role="api")
        seconds = settings.retention.seconds if age is None else age
        if seconds is None:
            raise ConfigurationError("say --older-than, for example 30d: RTB_RETENTION keeps all")
        pruning = Pruning(reactor, settings.db)
        try:
            return await _prune(reactor, pruning, seconds, dry_run, yes)
        finally:
            pruning.close()

    run(work)


async def _prune(reactor: Any, pruning: Any, age: float, dry_run: bool, yes: bool) -> int:
    due = await pruning.count(age)
    click.echo(f"{due.units} units of {due.orders} orders, with their history")
    if dry_run or not due.orders:
        return 0
    if not yes and not _confirmed():
        return 1
    interrupts = Interrupts(reactor)
    interrupted: list[None] = []
    interrupts.asked.addCallback(interrupted.append)
    progress = _Progress(due.units, reactor.seconds)
    gone = await pruning.prune(age, go_on=lambda: not interrupted, told=progress.show)
    progress.end()
    click.echo(f"pruned {gone.units} units and {gone.events} lines of history")
    if interrupted:
        click.echo("rtb: interrupted; nothing is half done, and the next one goes on", err=True)
        return _INTERRUPTED
    return 0


def _confirmed() -> bool:
    try:
        return click.confirm("Delete them for good?", err=True)
    except click.Abort:  # nobody is there to answer, or whoever is gives up
        click.echo("\nrtb: nothing was deleted; -y says yes", err=True)
        return False


class _Progress:
    """How far it is and how long it will take, on stderr: in place, or a line now and then."""

    def __init__(self, total: int, seconds: Callable[[], float]) -> None:
        self._total = total
        self._seconds = seconds
        self._began = self._said = seconds()
        self._in_place = sys.stderr.isatty()

    def show(self, gone: Any) -> None:
        """So much is gone."""
        now = self._seconds()
        if not self._in_place and now - self._said < _SAY_EVERY:
            return
        self._said = now
        left = max(self._total - gone.units, 0)
        wait = left * (now - self._began) / gone.units if gone.units else 0.0
        minutes, rest = divmod(round(wait), 60)
        text = f"{gone.units} of {self._total} units gone, {minutes}:{rest:02} left"
        click.echo(f"\r\x1b[K{text}" if self._in_place else text, err=True, nl=not self._in_place)

    def end(self) -> None:
        """It is over."""
        if self._in_place:
            click.echo("\r\x1b[K", err=True, nl=False)
