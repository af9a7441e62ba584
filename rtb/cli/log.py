"""Where the log goes while a person looks at a terminal."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
    textFileLogObserver,
)
from zope.interface import provider

__all__ = ["begin_log"]


def begin_log(path: Path, level: str) -> None:
    """Write what is at least *level* to the file *path*, and what is a warning to stderr, too."""
    with suppress(FileNotFoundError):
        path.replace(path.with_name(path.name + ".old"))
    # Open for as long as the process lives.
    file = path.open("a", encoding="utf-8", buffering=1)
    everything = LogLevelFilterPredicate(LogLevel.levelWithName(level))
    warnings = LogLevelFilterPredicate(LogLevel.warn)
    globalLogBeginner.beginLoggingTo(
        [
            FilteringLogObserver(textFileLogObserver(file), [everything]),
            FilteringLogObserver(_to_terminal, [warnings]),
        ],
        redirectStandardIO=False,
    )


@provider(ILogObserver)
def _to_terminal(event: LogEvent) -> None:
    click.echo(f"rtb: {formatEvent(event)}", err=True)
