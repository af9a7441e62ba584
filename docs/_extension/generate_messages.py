"""The messages between the roles, from their types and the golden files."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
from markdown_text import from_rest, table
from sphinx.pycode import ModuleAnalyzer

from rtb.broker.topology import Binding, Exchange, Queue, box, private, shared
from rtb.model.wire import messages

__all__ = ["markdown"]

GOLDEN = Path(__file__).parents[2] / "tests" / "wire" / "v1"
_WIDE = 96


def markdown() -> str:
    """Return the routing keys, the queues, each type, and a message of each kind."""
    pieces = [_keys(), "## Queues", _queues(), "## Types"]
    comments = ModuleAnalyzer.for_module(messages.__name__).find_attr_docs()
    for name in messages.__all__:
        kind = getattr(messages, name)
        if isinstance(kind, type):
            pieces += _type(name, kind, comments)
    pieces.append("## Examples")
    pieces.append("The golden files of `tests/wire/v1`: every version 1 reader takes them.")
    for file in sorted(GOLDEN.glob("*.json")):
        pieces += [f"### `{file.stem}`", f"```text\n{_shown(json.loads(file.read_text()))}\n```"]
    return "\n\n".join(pieces)


def _keys() -> str:
    """Return the module's own table as Markdown."""
    before, ruler, rest = (messages.__doc__ or "").partition("\n===")
    cells = re.findall(r"^(``[^`]+``)\s{2,}(.+?)\s{2,}(.+)$", ruler + rest, re.MULTILINE)
    rows = [[from_rest(cell) for cell in row] for row in cells]
    return f"{from_rest(before.partition('.')[2])}\n\n{table(['routing key', 'way', 'body'], rows)}"


def _queues() -> str:
    things = [*shared(), *box("<box>"), *private("<role>.<incarnation>")]
    keys: dict[str, list[str]] = {}
    for thing in things:
        if isinstance(thing, Binding):
            keys.setdefault(thing.queue, []).append(f"`{thing.key}`")
    rows = [
        [
            f"`{thing.name}`",
            "of one connection" if thing.exclusive else "durable",
            ", ".join(keys.get(thing.name, [])),
            ", ".join(f"`{name}: {value}`" for name, value in thing.arguments.items()),
        ]
        for thing in things
        if isinstance(thing, Queue)
    ]
    exchanges = [f"`{one.name}` ({one.kind})" for one in things if isinstance(one, Exchange)]
    head = ["queue", "kind", "bound to", "arguments"]
    return f"All on the durable exchange {', '.join(exchanges)}.\n\n{table(head, rows)}"


def _type(name: str, kind: type, comments: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    yield f"### {name}"
    yield from_rest(kind.__doc__)
    if not issubclass(kind, msgspec.Struct):
        rows = [[f"`{one.value}`", _comment(comments, name, one.name)] for one in kind]
        yield table(["value", ""], rows)
        return
    if kind.__struct_config__.array_like:
        yield "Travels as an array, in this order."
    rows = []
    for field in msgspec.structs.fields(kind):
        default = "" if field.required else _default(field)
        rows.append([f"`{field.name}`", f"`{_says(field.type)}`", default,
                     _comment(comments, name, field.name)])  # fmt: skip
    yield table(["field", "type", "default", ""], rows)


def _comment(comments: dict[tuple[str, str], list[str]], kind: str, name: str) -> str:
    return from_rest(" ".join(comments.get((kind, name), [])))


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "`[]`"
    value = field.default
    return f"`{bytes(value).decode() if isinstance(value, msgspec.Raw) else json.dumps(value)}`"


def _says(kind: object) -> str:
    bare = re.sub(r"\b(?:\w+\.)+", "", str(kind)).replace("<class '", "").replace("'>", "")
    bare = re.sub(r"Annotated\[(\w+), Meta\((?:[^()]|\([^)]*\))*\)\]", r"\1", bare)
    if not get_args(kind) and isinstance(kind, type):
        return kind.__name__
    return bare


def _shown(value: object) -> str:
    """Return JSON with each field on a line of its own, which is wrapped where it is long."""
    assert isinstance(value, dict)
    lines = [f'  "{name}": {json.dumps(of, ensure_ascii=False)}' for name, of in value.items()]
    wrapped = [
        textwrap.fill(line, _WIDE, subsequent_indent="      ", drop_whitespace=False)
        for line in lines
    ]
    return "{\n" + ",\n".join(wrapped) + "\n}"
