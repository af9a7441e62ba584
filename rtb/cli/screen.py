"""What ``rtb dev`` shows: where things run, how the work goes, and what to try next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from rtb.client import Summary, Units

__all__ = ["LiveProgress", "PlainProgress", "ProgressLine", "in_words", "next_steps", "table"]

_PLAIN_EVERY = 2.0
_SHOWN = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled")


def in_words(units: Units) -> str:
    """Return the counts that are not zero, in the order of a unit's life."""
    counts = [(name, getattr(units, name)) for name in _SHOWN]
    return "  ".join(f"{name} {count}" for name, count in counts if count) or "no units"


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Return two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:{width}}  {what}" for name, what in rows)


def next_steps(url: str) -> str:
    """Return three things to try; each is a command to paste."""
    order = """'{"account": "me", "units": ["scene-1", "scene-2"]}'"""
    return f"""
Three things to try, in another terminal:

  # place an order of two units
  curl -s -H 'content-type: application/json' -d {order} {url}/orders

  # see the first units of the backlog, with their results
  curl -s '{url}/orders/1/units?limit=3'

  # see one unit and all that happened to it
  curl -s {url}/units/1
"""


class ProgressLine(Protocol):
    """One line that says how the work goes."""

    def show(self, summary: Summary, hint: str) -> None:
        """Show *summary*; *hint* says what it waits for, if for anything."""

    def end(self) -> None:
        """Leave the line as it is."""


class PlainProgress:
    """Lines for a log: one when something changed, and at most one every 2 s."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._last = ""
        self._latest = ""

    def show(self, summary: Summary, hint: str) -> None:
        """Print a line if it is time for one."""
        done = f"{summary.units.settled}/{summary.units.total} done"
        self._latest = "  ".join(filter(None, (done, in_words(summary.units), hint)))
        if self._seconds() >= self._next:
            self._print()

    def end(self) -> None:
        """Print the last state, if that has not been done."""
        self._print()

    def _print(self) -> None:
        if self._latest != self._last:
            click.echo(self._latest, err=True)
            self._last = self._latest
            self._next = self._seconds() + _PLAIN_EVERY


class LiveProgress:
    """One line of a terminal, drawn again in its place."""

    def __init__(self) -> None:
        self._progress = Progress(
            BarColumn(bar_width=30),
            TextColumn("{task.completed:.0f}/{task.total:.0f} done  {task.description}"),
            console=Console(stderr=True),
            # It would draw from a thread of its own otherwise.
            auto_refresh=False,
        )
        self._task = self._progress.add_task("", total=0)
        self._progress.start()

    def show(self, summary: Summary, hint: str) -> None:
        """Draw the line again."""
        self._progress.update(
            self._task,
            completed=summary.units.settled,
            total=summary.units.total,
            description="  ".join(filter(None, (in_words(summary.units), hint))),
            refresh=True,
        )

    def end(self) -> None:
        """Leave the line as it is."""
        self._progress.stop()
