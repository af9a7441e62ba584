"""All of rtb's SQL but the schema, in ``*.sql`` files: ``-- name: NAME``, then the statement.

A name stands for what is sent in one round trip. Where that is several statements they form one
transaction, since PostgreSQL runs a multi-statement query as one; what comes back are the rows of
the last.
"""

from __future__ import annotations

import re
from functools import cached_property
from importlib.resources import files

__all__ = ["QUERIES", "Call", "Query"]

_HEADER = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_PARAMETER = re.compile(r"%\((\w+)\)s(::\w+(?:\[\])?)?")


class Query(str):
    """The text of a query, which can also be prepared once and executed often.

    The hot statements take longer to plan than to run on a small batch.
    """

    name: str

    def __new__(cls, text: str, name: str) -> Query:
        """Return *text* as the query *name*."""
        query = super().__new__(cls, text)
        query.name = name
        return query

    @cached_property
    def _types(self) -> dict[str, str]:
        """Parameters in the order of their numbers, each with its cast if there is one."""
        types: dict[str, str] = {}
        for name, cast in _PARAMETER.findall(self):
            types[name] = types.get(name) or cast
        return types

    @cached_property
    def prepare(self) -> str:
        """The statement that prepares it."""
        numbers = {name: number for number, name in enumerate(self._types, 1)}
        text = _PARAMETER.sub(lambda found: f"${numbers[found[1]]}{found[2] or ''}", self)
        return f"PREPARE {self.name} AS {text.rstrip(';')};"

    @cached_property
    def execute(self) -> str:
        """The statement that runs it once prepared; its parameters are named ``NAME_parameter``."""
        values = ", ".join(f"%({self.name}_{name})s{cast}" for name, cast in self._types.items())
        return f"EXECUTE {self.name} ({values});" if values else f"EXECUTE {self.name};"


#: A query to run in a round trip with others, and its parameters.
Call = tuple[Query, dict[str, object]]


def _load() -> dict[str, Query]:
    queries: dict[str, Query] = {}
    for file in files(__name__).iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *named = _HEADER.split(file.read_text("utf-8"))
        for name, text in zip(named[::2], named[1::2], strict=True):
            assert name not in queries, name
            queries[name] = Query(text.strip(), name)
    return queries


QUERIES = _load()
