"""A stream cut into lines, and the line of whatever is wrong.

Nothing is held but the line that is not complete yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import attrs

from rtb.errors import RtbError

__all__ = ["FAULTS_SHOWN", "LINE_BYTES", "BadLinesError", "Fault", "Form", "Row", "Sheet"]

#: A line may be this long: a payload in full, a name, and the escapes of CSV.
LINE_BYTES = 256 * 1024
FAULTS_SHOWN = 100

#: Line, name, and payload as JSON on one line or None.
Row = tuple[int, str, str | None]


@attrs.frozen
class Fault:
    """A line that is no unit."""

    line: int
    reason: str


class BadLinesError(RtbError):
    """An order with lines that are no units; nothing of it was placed."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(f"line {faults[0].line}: {faults[0].reason}")
        self.faults = faults[:FAULTS_SHOWN]


class Form(Protocol):
    """How the lines of a stream are read."""

    def read(self, number: int, lines: list[str]) -> Iterator[Row | Fault]:
        """Yield what *lines*, of which *number* is the first, hold.

        :raises BadLinesError: nothing after them can be read
        """

    def end(self) -> Iterator[Row | Fault]:
        """Yield what was left when the lines ended."""


class Sheet:
    """Cuts a stream into lines, whatever pieces it comes in, and reads them as *form* does."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._rest = b""
        self._line = 1

    def feed(self, data: bytes) -> Iterator[Row | Fault]:
        """Yield what is complete with *data*.

        :raises BadLinesError: nothing after this can be read
        """
        head, found, rest = data.rpartition(b"\n")
        if len(rest) > LINE_BYTES or (not found and len(self._rest) + len(rest) > LINE_BYTES):
            line = self._line + (head.count(b"\n") + 1 if found else 0)
            raise BadLinesError([Fault(line, f"a line has at most {LINE_BYTES} bytes")])
        if not found:
            self._rest += rest
            return
        text = self._rest + head
        self._rest = rest
        yield from self._read(text)

    def end(self) -> Iterator[Row | Fault]:
        """Yield what is left; the last line need not end."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._read(rest)
        yield from self._form.end()

    def _read(self, text: bytes) -> Iterator[Row | Fault]:
        first = self._line
        try:
            lines = text.decode().split("\n")
        except UnicodeDecodeError as problem:
            line = first + text.count(b"\n", 0, problem.start)
            raise BadLinesError([Fault(line, "not UTF-8")]) from None
        if first == 1:
            lines[0] = lines[0].removeprefix("\ufeff")
        self._line += len(lines)
        yield from self._form.read(first, [line.removesuffix("\r") for line in lines])
