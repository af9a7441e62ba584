"""How long work goes, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click

__all__ = ["Bar", "in_time"]

_PLAIN_EVERY = 2.0


def in_time(seconds: float) -> str:
    """Return *seconds* as H:MM:SS."""
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


class Bar:
    """Says how far *what* is.

    :param total: how much there is to do; None: nobody knows
    :param unit: in which it is counted
    :param live: draw it in its place on a terminal; else lines between others, as in a log
    :param seconds: a clock that never jumps
    """

    def __init__(
        self,
        what: str,
        total: float | None,
        unit: str = "units",
        *,
        live: bool = True,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = total
        self._unit = unit
        self._seconds = seconds
        self._began = seconds()
        self._next = self._began + _PLAIN_EVERY
        self._done = 0.0
        self._live: Any = None
        if live and sys.stderr.isatty():
            # Here because it is slow to import, and a log needs none of it.
            from rich.console import Console
            from rich.live import Live

            # It would draw from a thread of its own otherwise.
            self._live = Live(console=Console(stderr=True), auto_refresh=False)
            self._live.start()

    def add(self, more: float) -> None:
        """*more* was done."""
        self.to(self._done + more)

    def to(self, done: float, total: float | None = None) -> None:
        """*done* is done, in all, of the *total* if that is another one now."""
        self._done = done
        self._total = self._total if total is None else total
        if self._live is not None:
            self._live.update(self.line(), refresh=True)
        elif self._seconds() >= self._next:
            self._next = self._seconds() + _PLAIN_EVERY
            click.echo(self.line(), err=True)

    def line(self) -> str:
        """Return how it is, on one line."""
        passed = max(self._seconds() - self._began, 1e-9)
        rate = self._done / passed
        said = f"{self._what}  {self._done:,.0f}"
        if self._total:
            full = min(1.0, self._done / self._total)
            eta = in_time((self._total - self._done) / rate) if self._done else "-:--:--"
            bar = "█" * int(24 * full)
            said = f"{self._what}  {bar:·<24} {100 * full:3.0f} %  eta {eta}  {self._done:,.0f}"
            said += f"/{self._total:,.0f}"
        return f"{said} {self._unit}  {rate:,.0f}/s  {in_time(passed)}"

    def end(self) -> None:
        """Leave the last state where it is."""
        if self._live is not None:
            self._live.stop()
