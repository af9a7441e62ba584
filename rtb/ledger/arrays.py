"""Columns of values as PostgreSQL writes its arrays: one text each.

psycopg2 would send ``ARRAY[...]``, of which both it and PostgreSQL treat every element as an
expression of its own: most of what a flush cost. A column of nothing but nulls is an empty array:
``unnest`` of several fills it up.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["integers", "numbers", "texts", "truths", "words"]

_NOTHING = "{}"


def integers(values: Sequence[int]) -> str:
    """Return *values* as an array of numbers."""
    return "{" + ",".join(map(str, values)) + "}"


def numbers(values: Sequence[float | None]) -> str:
    """Return *values* as an array of numbers; None is null."""
    if values.count(None) == len(values):
        return _NOTHING
    return "{" + ",".join(["null" if value is None else repr(value) for value in values]) + "}"


def truths(values: Sequence[bool]) -> str:
    """Return *values* as an array of booleans."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"


def words(values: Sequence[str | None]) -> str:
    """Return *values*, of which none needs quotes, as an array of texts; None is null."""
    return "{" + ",".join(["null" if value is None else value for value in values]) + "}"


def texts(values: Sequence[str | None]) -> str:
    """Return *values* as an array of texts; None is null."""
    if values.count(None) == len(values):
        return _NOTHING
    # Most columns have few values, often.
    quoted = {value: _quoted(value) for value in set(values)}
    return "{" + ",".join([quoted[value] for value in values]) + "}"


def _quoted(text: str | None) -> str:
    if text is None:
        return "null"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
