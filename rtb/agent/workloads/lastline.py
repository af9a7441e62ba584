"""The result of a command: the last line that it printed."""

from __future__ import annotations

from rtb.agent.output import clean
from rtb.agent.results import RESULT_BYTES, UnusableResult, encode, read

__all__ = ["LastLine"]

#: Enough to see that a line is too long.
_KEPT = RESULT_BYTES + 1


class LastLine:
    """The last line of a stream of bytes that is not blank, in bounded memory."""

    def __init__(self) -> None:
        self._last = b""
        self._begun = b""

    def feed(self, data: bytes) -> None:
        """Take *data*, which follows what was fed before."""
        ended, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._begun += data[: _KEPT - len(self._begun)]
            return
        # Of the lines that end here only the last one with something in it matters; the first
        # of them began earlier.
        ended = ended.rstrip()
        if b"\n" in ended:
            self._last = ended.rpartition(b"\n")[2][:_KEPT]
        elif ended or self._begun.strip():
            self._last = (self._begun + ended)[:_KEPT]
        self._begun = rest[:_KEPT]

    def result(self) -> bytes:
        """Return the line as JSON: the value that it is, else a string; ``null`` without one.

        :raises UnusableResult: the ledger cannot keep it
        """
        line = (self._begun if self._begun.strip() else self._last).strip()
        if len(line) > RESULT_BYTES:
            raise UnusableResult(
                f"the last line is longer than {RESULT_BYTES} bytes: "
                "write the result to a file and print the path"
            )
        return encode(_value(line)) if line else b"null"


def _value(line: bytes) -> object:
    try:
        return read(line)
    except UnusableResult:
        # NaN alone is a word; inside of an object it is a mistake.
        if line[:1] in b"{[":
            raise
    except ValueError:
        pass
    return clean(line.decode(errors="replace"))
