"""The moves of a unit as a table."""

from __future__ import annotations

from markdown_text import table

from rtb.model.lifecycle import MOVES, Status

__all__ = ["markdown"]


def markdown() -> str:
    """Return a row for each two statuses of which one follows the other."""
    words: dict[tuple[str, str], list[str]] = {}
    for (status, kind), follows in MOVES.items():
        words.setdefault((status.value, follows.value), []).append(kind.value)
    order = [status.value for status in Status]
    rows = [
        [f"`{a}`", f"`{b}`", ", ".join(words[a, b])]
        for a, b in sorted(words, key=lambda move: [order.index(status) for status in move])
    ]
    return table(["from", "to", "by the word"], rows)
