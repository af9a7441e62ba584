"""CSV (RFC 4180) with a header, as a stream of units.

Python's reader takes what is not CSV for something else, and swallows the rest of a file after a
quote that is never closed. Here each record is matched whole, and one that does not close in time
is named by the line on which it began.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator

from rtb.model.json_text import BadJsonError, read_json
from rtb.model.lines import LINE_BYTES, BadLinesError, Fault, Row
from rtb.model.orders import NAME_MAX, BadOrderError, check_payload

__all__ = ["Table"]

_COLUMNS_MAX = 100
_FIELD = r'(?:"(?:[^"]|"")*"|[^",]*)'
_RECORD = re.compile(rf"{_FIELD}(?:,{_FIELD})*\Z")


class Table:
    """The column ``name`` names the unit; ``payload`` is JSON, or all other columns make it up."""

    def __init__(self) -> None:
        self._columns: list[str] | None = None
        #: Lines of a record whose quote is still open, and the first one's number.
        self._open: list[str] = []
        self._began = 0
        self._size = 0

    def read(self, number: int, lines: list[str]) -> Iterator[Row | Fault]:
        """Yield the records that end within *lines*."""
        for line, text in enumerate(lines, number):
            if not self._open and '"' not in text:
                if text:
                    yield from self._record(line, text.split(","))
                continue
            if not self._open:
                self._began, self._size = line, 0
            self._open.append(text)
            self._size += len(text) + 1
            if self._size > LINE_BYTES:
                raise BadLinesError([self._unclosed()])
            if text.count('"') % 2 == (len(self._open) > 1):
                yield from self._close()

    def end(self) -> Iterator[Row | Fault]:
        """Refuse a record that never closed."""
        if self._open:
            raise BadLinesError([self._unclosed()])
        return iter(())

    def _unclosed(self) -> Fault:
        return Fault(self._began, "a quote is opened and never closed")

    def _close(self) -> Iterator[Row | Fault]:
        text = "\n".join(self._open)
        self._open = []
        try:
            if not _RECORD.match(text):
                raise csv.Error
            (fields,) = csv.reader(io.StringIO(text, newline=""), strict=True)
        except csv.Error:
            yield Fault(self._began, 'broken quotes: write "a ""b"" c"')
        else:
            yield from self._record(self._began, fields)

    def _record(self, line: int, fields: list[str]) -> Iterator[Row | Fault]:
        if self._columns is None:
            self._columns = self._header(line, fields)
            return
        if len(fields) != len(self._columns):
            columns, there = len(self._columns), len(fields)
            yield Fault(line, f"{there} fields, where the header has {columns}")
            return
        values = dict(zip(self._columns, fields, strict=True))
        try:
            yield line, _name(values, line), _payload(values)
        except (BadJsonError, BadOrderError) as problem:
            yield Fault(line, str(problem))

    def _header(self, line: int, fields: list[str]) -> list[str]:
        columns = [field.strip() for field in fields]
        problem = ""
        if "" in columns or len(columns) > _COLUMNS_MAX:
            problem = f"a header has 1 to {_COLUMNS_MAX} columns, each with a name"
        elif len(set(columns)) != len(columns):
            problem = "a column is there twice"
        elif "payload" in columns and set(columns) - {"name", "payload"}:
            problem = "with a column payload (JSON), there is none but name beside it"
        elif any("\0" in column for column in columns):
            problem = "a text holds NUL"
        if problem:
            raise BadLinesError([Fault(line, f"the header: {problem}")])
        return columns


def _name(values: dict[str, str], line: int) -> str:
    name = values.pop("name", "") or f"#{line}"
    if len(name) > NAME_MAX:
        raise BadOrderError(f"a name has 1 to {NAME_MAX} characters")
    if any("\0" in text for text in (name, *values.values())):
        raise BadOrderError("a text holds NUL")
    return name


def _payload(values: dict[str, str]) -> str | None:
    if not values:
        return None
    if "payload" in values:
        text = values["payload"]
        value = read_json(text.encode()) if text.strip() else None
        raw = text.strip().encode()
    else:
        value = values
        raw = json.dumps(values, ensure_ascii=False).encode()
    return None if value is None else check_payload(raw, value, "").decode()
