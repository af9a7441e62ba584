"""Following the work from the outside, as any client could."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from twisted.internet.task import deferLater

from rtb.cli.screen import LiveProgress, PlainProgress, ProgressLine
from rtb.client import ApiUnreachableError, Client, Units
from rtb.errors import RtbError

__all__ = ["Follower", "NoAnswerError", "outcome"]

_LOOK_EVERY = 0.5
_ANSWER_WITHIN = 30.0
_SOME_ERRORS = 3


class NoAnswerError(RtbError):
    """The API that was just started does not answer."""


class Follower:
    """Somebody who looks at the summary until all units have come to their end."""

    def __init__(self, reactor: Any, client: Client, url: str) -> None:
        self._reactor = reactor
        self._client = client
        self._url = url

    async def until_answered(self, log: Path) -> None:
        """Return when the API gives a summary.

        :raises NoAnswerError: it does not in 30 s
        """
        until = self._reactor.seconds() + _ANSWER_WITHIN
        while True:
            try:
                await self._client.status()
            except RtbError as problem:
                if self._reactor.seconds() > until:
                    raise NoAnswerError(f"{problem}; the log is {log}") from problem
            else:
                return
            await deferLater(self._reactor, _LOOK_EVERY / 2)

    async def until_done(self) -> Units:
        """Show how the work goes; return the counts when nothing is left to do."""
        line: ProgressLine = (
            LiveProgress() if sys.stderr.isatty() else PlainProgress(self._reactor.seconds)
        )
        try:
            while True:
                units = await self._look(line)
                if units is not None and units.settled == units.total:
                    return units
                await deferLater(self._reactor, _LOOK_EVERY)
        finally:
            line.end()

    async def _look(self, line: ProgressLine) -> Units | None:
        try:
            summary = await self._client.status()
        except ApiUnreachableError as problem:
            click.echo(f"rtb: {problem}", err=True)
            return None
        line.show(summary, "" if summary.going else f"waiting for: curl {self._url}/go/")
        return summary.units


def outcome(units: Units) -> int:
    """Return the exit code that tells how the work came out."""
    if units.error:
        return _SOME_ERRORS
    return 0 if units.success == units.total else 1
