"""All of rtb's SQL but the schema, in ``*.sql`` files: ``-- name: NAME``, then the statement.

A name stands for what is sent in one round trip. Where that is several statements they form one
transaction, since PostgreSQL runs a multi-statement query as one; what comes back are the rows of
the last.
"""

from __future__ import annotations

import re
from importlib.resources import files

__all__ = ["QUERIES"]

_HEADER = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def _load() -> dict[str, str]:
    queries: dict[str, str] = {}
    for file in files(__name__).iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *named = _HEADER.split(file.read_text("utf-8"))
        for name, text in zip(named[::2], named[1::2], strict=True):
            assert name not in queries, name
            queries[name] = text.strip()
    return queries


QUERIES = _load()
