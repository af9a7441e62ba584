"""The ledger's tables, from the migrations.

They are read with a few patterns, which know the SQL that the migrations use and no other; a test
compares the result with the catalogue of a real PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import attrs
from markdown_text import table

__all__ = ["Table", "markdown", "tables"]

_PROGRAM = re.compile(r"AS (\$\w*\$).*?\1", re.DOTALL)
_STATEMENT = re.compile(
    r"((?:^--[^\n]*\n)*)^(CREATE TABLE|ALTER TABLE|CREATE TYPE) (\w+)(.*?);[^\S\n]*(--[^\n]*)?$",
    re.MULTILINE | re.DOTALL,
)
_COLUMN = re.compile(r"(\w+) ((?:double precision|\w+(?:\[\])?))(.*)", re.DOTALL)
_CONSTRAINTS = frozenset({"PRIMARY", "UNIQUE", "CHECK", "FOREIGN", "CONSTRAINT"})


@attrs.define
class Table:
    """A table as the migrations make it."""

    name: str
    comment: str
    #: (name, type, what else holds, comment)
    columns: list[tuple[str, str, str, str]] = attrs.field(factory=list)
    rules: list[str] = attrs.field(factory=list)


def markdown() -> str:
    """Return a section for each table, in alphabetical order."""
    pieces = []
    for made in sorted(tables().values(), key=lambda made: made.name):
        pieces += [f"## `{made.name}`", made.comment]
        rows = [[f"`{a}`", f"`{b}`", f"`{c}`" if c else "", d] for a, b, c, d in made.columns]
        pieces.append(table(["column", "type", "", "what it is"], rows))
        pieces += [f"- `{rule}`" for rule in made.rules]
    return "\n\n".join(pieces)


def tables() -> dict[str, Table]:
    """Return each table by its name."""
    found: dict[str, Table] = {}
    for text in _migrations():
        # What functions are made of is no table.
        for comment, verb, name, body, last in _STATEMENT.findall(_PROGRAM.sub("", text)):
            if verb == "CREATE TABLE":
                found[name] = Table(name, _plain(comment))
                inside = body[body.index("(") + 1 : body.rindex("\n)")]
                for entry, said in _entries(inside):
                    _add(found[name], entry, said)
            elif verb == "ALTER TABLE":
                for entry, said in _entries(f"{body} {last}"):
                    word, _, column = entry.partition("ADD COLUMN ")
                    if not word and column:
                        _add(found[name], column, said)
                    elif entry.startswith("DROP COLUMN "):
                        gone = entry.removeprefix("DROP COLUMN ")
                        found[name].columns = [c for c in found[name].columns if c[0] != gone]
    return found


def _migrations() -> Iterator[str]:
    folder = files("rtb.ledger.migrations")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield file.read_text("utf-8")


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """Return what commas outside of brackets separate, each with the comments around it."""
    entry, before, after, depth = "", "", "", 0
    ended = False
    for line in text.split("\n"):
        code, _, comment = line.partition("--")
        if ended and code.strip():
            yield " ".join(entry.split()), f"{before} {after}"
            entry, before, after, ended = "", "", "", False
        if not code.strip() and ended:
            # A line of its own belongs to what follows.
            yield " ".join(entry.split()), f"{before} {after}"
            entry, before, after, ended = "", "", "", False
        for sign in code:
            depth += (sign == "(") - (sign == ")")
            if sign == "," and not depth:
                if ended:
                    yield " ".join(entry.split()), ""
                    entry = ""
                ended = True
            else:
                entry += sign
        entry += " "
        if comment and not code.strip():
            before += comment
        elif comment:
            after += comment
    if entry.strip():
        yield " ".join(entry.split()), f"{before} {after}"


def _add(made: Table, entry: str, comment: str) -> None:
    if entry.split(" ", 1)[0] in _CONSTRAINTS:
        made.rules.append(entry)
        return
    column = _COLUMN.match(entry)
    assert column is not None, entry
    name, kind, more = column.groups()
    made.columns.append((name, kind, more.strip(), " ".join(comment.split())))


def _plain(comment: str) -> str:
    return " ".join(line.removeprefix("--").strip() for line in comment.splitlines()).strip()
