"""Pieces of Markdown that the generated pages are made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

__all__ = ["from_rest", "table"]

_ROLE = re.compile(r":\w+:`~?\.?([^`]+)`")


def from_rest(text: str | None) -> str:
    """Return a docstring, which is reStructuredText, as Markdown."""
    plain = _ROLE.sub(r"`\1`", inspect.cleandoc(text or ""))
    return plain.replace("``", "`")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(str(cell).replace("|", "\\|").split()) for cell in line) + " |"
        for line in lines
    )
