"""The log as JSON, one object a line, for machines that collect logs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import IO, Any

from twisted.logger import FileLogObserver, ILogObserver, LogEvent, formatEvent
from zope.interface import implementer

__all__ = ["as_line", "json_observer"]


@implementer(ILogObserver)
class _JsonObserver(FileLogObserver):
    pass


def json_observer(file: IO[str], **always: str) -> ILogObserver:
    """Return an observer that writes to *file*; *always* is in every line."""
    observer: ILogObserver = _JsonObserver(file, lambda event: as_line(event, **always))
    return observer


def as_line(event: LogEvent, **always: str) -> str:
    """Return *event* as one line: its text, and every field that it was made of."""
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    level = event.get("log_level")
    line: dict[str, Any] = {
        "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level.name if level is not None else "info",
        **always,
        "logger": event.get("log_namespace", ""),
        # The same for all lines of a kind, however their values differ.
        "event": event.get("log_format") or "",
        "msg": formatEvent(event),
    }
    failure = event.get("log_failure")
    if failure is not None:
        line["exc"] = failure.getTraceback()
    for name, value in event.items():
        if not name.startswith("log_") and name not in _OLD and name not in line:
            line[name] = value if isinstance(value, (str, int, float, bool)) else str(value)
    return json.dumps(line, ensure_ascii=False, default=str) + "\n"


#: What Twisted adds for observers of before 2014.
_OLD = frozenset({"message", "time", "system", "isError", "format", "failure", "logLevel"})
