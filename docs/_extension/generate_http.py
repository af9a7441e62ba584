"""The HTTP API, from its OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markdown_text import from_rest, table

from rtb.api.web.openapi import describe
from rtb.api.web.routes import ROUTES, Resources

__all__ = ["markdown"]


def markdown() -> str:
    """Return a section for each operation, and one for each type."""
    described = describe(ROUTES, Resources)
    pieces = []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            pieces += _operation(path, method, operation)
    pieces.append("## Types")
    for name, schema in sorted(described["components"]["schemas"].items()):
        pieces += _type(name, schema)
    return "\n\n".join(pieces)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## `{method.upper()} {path}`"
    yield from_rest(operation["summary"])
    if "description" in operation:
        yield from_rest(operation["description"])
    parameters = [
        [f"`{row['name']}`", row["in"], _says(row["schema"]), row.get("description", "")]
        for row in operation.get("parameters", ())
    ]
    if parameters:
        yield table(["parameter", "in", "type", ""], parameters)
    if "requestBody" in operation:
        for kind, content in operation["requestBody"]["content"].items():
            yield f"Body: {_says(content['schema'])}, as `{kind}`."
    rows = [
        [status, _answer(answer), answer["description"]]
        for status, answer in operation["responses"].items()
    ]
    yield table(["status", "answer", ""], rows)


def _answer(answer: Mapping[str, Any]) -> str:
    said = []
    for kind, content in answer["content"].items():
        of = f"{_says(content['schema'])} as " if "schema" in content else ""
        said.append(f"{of}`{kind}`")
    return ", or ".join(said)


def _type(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"(type-{name.lower()})=\n### {name}"
    if "description" in schema:
        yield from_rest(schema["description"])
    required = schema.get("required", ())
    rows = [
        [f"`{field}`", _says(of), "" if field in required else _default(of)]
        for field, of in schema.get("properties", {}).items()
    ]
    if rows:
        yield table(["field", "type", "default"], rows)
    else:
        yield _says(schema)


def _default(schema: Mapping[str, Any]) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else "may be left out"


def _says(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#type-{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_says(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(_says(one) for one in schema['prefixItems'])}]"
        items = schema.get("items")
        return f"list of {_says(items)}" if items else "list"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_says(schema['additionalProperties'])}"
    words = [kind]
    names = ("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "format")
    words += [f"{name} {schema[name]}" for name in names if name in schema]
    return ", ".join(words)
