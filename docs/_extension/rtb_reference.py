"""Fills pages of the book with what the code says.

A line ``<!-- generated: NAME -->`` in a page is replaced by Markdown that is made when the book is
built, so that there is no second copy of a setting, a command, a route, a message, a metric or a
column that could differ from the first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import generate_cli
import generate_http
import generate_messages
import generate_metrics
import generate_moves
import generate_schema
import generate_settings

ROOT = Path(__file__).parents[2]
_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
_MERMAID = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
_SOURCE = re.compile(r"\[([^\]\n]+)\]\(\.\./(?!\.\.)[\w./-]+\.(?:py|sql|yml)\)")

PARTS: Mapping[str, Callable[[], str]] = {
    "cli": generate_cli.markdown,
    "http": generate_http.markdown,
    "messages": generate_messages.markdown,
    "metrics": generate_metrics.markdown,
    "schema": generate_schema.markdown,
    "settings": generate_settings.markdown,
}


def fill(_app: Any, page: str, source: list[str]) -> None:
    """Replace the marks in *page*, whose text is the one element of *source*."""
    text = _MARK.sub(lambda mark: PARTS[mark[1]](), source[0])
    # A diagram that a browser would draw with a library from elsewhere: here it is a table.
    text = _MERMAID.sub(lambda _: generate_moves.markdown(), text)
    # The sources are not part of the book; on the code's own site these are links.
    source[0] = _SOURCE.sub(r"`\1`", text)


def setup(app: Any) -> dict[str, Any]:
    """Tell Sphinx of it."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
