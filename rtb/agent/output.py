"""What a unit prints: its last 16 KiB, fit to be shown and stored."""

from __future__ import annotations

import re

__all__ = ["OUTPUT_BYTES", "Tail", "clean", "one_line"]

OUTPUT_BYTES = 16 * 1024
#: Colours and cursor movements, which terminals take and people do not want to read.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE = 1000


def clean(text: str) -> str:
    """Return *text* without what PostgreSQL, JSON or a terminal would choke on.

    Line ends become ``\\n``; escape sequences and control characters are dropped.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def one_line(text: str) -> str:
    """Return *text*, cleaned, as one line of at most 1,000 characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


class Tail:
    """The end of a stream of bytes, in bounded memory."""

    def __init__(self, size: int = OUTPUT_BYTES) -> None:
        self._size = size
        self._kept = bytearray()
        self._length = 0

    def feed(self, data: bytes) -> None:
        """Take *data*, which follows what was fed before."""
        self._length += len(data)
        self._kept += data
        # Cut rarely: each cut moves what is kept.
        if len(self._kept) > 4 * self._size:
            del self._kept[: -self._size]

    @property
    def length(self) -> int:
        """How many bytes were fed."""
        return self._length

    def text(self) -> str:
        """Return the end, cleaned, with a mark where something is missing before it."""
        text = clean(bytes(self._kept[-self._size :]).decode(errors="replace"))
        # Replacement characters are longer than the bytes they stand for.
        kept = text.encode()[-self._size :].decode(errors="ignore")
        missing = self._length - min(self._length, self._size)
        if missing or kept != text:
            kept = kept.lstrip("\ufffd")
            return f"[… {missing or 'some'} bytes cut …]\n{kept}"
        return kept
