"""Columns of values as PostgreSQL writes its arrays: one text each.

psycopg2 would send ``ARRAY[...]``, of which both it and PostgreSQL treat every element as an
expression of its own: most of what a flush cost.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["numbers", "texts", "truths"]


def numbers(values: Iterable[float | None]) -> str:
    """Return *values* as an array of numbers; None is null."""
    return "{" + ",".join(["null" if value is None else repr(value) for value in values]) + "}"


def truths(values: Iterable[bool]) -> str:
    """Return *values* as an array of booleans."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Return *values* as an array of texts; None is null."""
    return "{" + ",".join(["null" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
