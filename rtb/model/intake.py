"""Orders that come as a stream: one name to a line, one JSON object to a line, or CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from rtb.model.json_text import BadJsonError, read_json
from rtb.model.lines import Fault, Form, Row
from rtb.model.orders import NAME_MAX, BadOrderError, check_payload
from rtb.model.spreadsheet import Table

__all__ = ["KINDS", "form"]


class _Names:
    """One name to a line; empty lines are skipped."""

    def read(self, number: int, lines: list[str]) -> Iterator[Row | Fault]:
        for line, name in enumerate(lines, number):
            if name:
                problem = _problem_of_name(name)
                yield Fault(line, problem) if problem else (line, name, None)

    def end(self) -> Iterator[Row | Fault]:
        return iter(())


class _Line(msgspec.Struct):
    payload: msgspec.Raw


_payload = msgspec.json.Decoder(_Line)
#: A unit that is only a name, without escapes: nothing about it can be wrong but its length.
_W = r"[ \t\r]*"
_TEXT = r'"([^"\\\x00-\x1f]+)"'
_only_a_name = re.compile(rf'{_W}(?:\{{{_W}"name"{_W}:{_W}{_TEXT}{_W}\}}|{_TEXT}){_W}')


class _Objects:
    """One JSON value to a line: a name, or an object with name and payload."""

    def read(self, number: int, lines: list[str]) -> Iterator[Row | Fault]:
        for line, text in enumerate(lines, number):
            if text and not text.isspace():
                try:
                    yield line, *_unit(line, text)
                except (BadJsonError, BadOrderError) as problem:
                    where = f" at {problem.pointer}" if problem.pointer else ""
                    yield Fault(line, f"{problem}{where}")

    def end(self) -> Iterator[Row | Fault]:
        return iter(())


def _unit(line: int, text: str) -> tuple[str, str | None]:
    plain = _only_a_name.fullmatch(text)
    if plain is not None and len(name := plain[1] or plain[2]) <= NAME_MAX:
        return name, None
    value = read_json(text.encode())
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise BadOrderError("a unit is a name, or an object with name and payload")
    strange = value.keys() - {"name", "payload"}
    if strange:
        raise BadOrderError(f"there is no field {min(strange)[:80]!r}")
    name = value.get("name", f"#{line}")
    problem = _problem_of_name(name) if isinstance(name, str) else "a name is a string"
    if problem:
        raise BadOrderError(problem, "/name")
    payload = value.get("payload")
    if payload is None:
        return name, None
    raw = bytes(_payload.decode(text).payload)  # as it was written
    return name, check_payload(raw, payload, "/payload").decode()


def _problem_of_name(name: str) -> str:
    if not 0 < len(name) <= NAME_MAX:
        return f"a name has 1 to {NAME_MAX} characters"
    return "a name holds no NUL" if "\0" in name else ""


_FORMS: dict[str, type[Form]] = {
    "text/plain": _Names,
    "application/x-ndjson": _Objects,
    "text/csv": Table,
}
#: The media types that are streams of units.
KINDS = frozenset(_FORMS)


def form(kind: str) -> Form:
    """Return how a body of the media type *kind* is read."""
    return _FORMS[kind]()
