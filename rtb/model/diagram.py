"""The life of a unit as a Mermaid diagram, made from the table of moves.

``python -m rtb.model.diagram`` prints what ``docs/lifecycle.md`` shows.
"""

from __future__ import annotations

import sys

from rtb.model.lifecycle import MOVES, OUTCOMES, Kind, Status

__all__ = ["mermaid"]


def mermaid() -> str:
    """Return the diagram: one arrow per pair of statuses, with the kinds that lead along it."""
    arrows: dict[tuple[Status, Status], list[Kind]] = {}
    for (status, kind), after in MOVES.items():
        arrows.setdefault((status, after), []).append(kind)
    order = list(Status)
    lines = ["stateDiagram-v2", f"    [*] --> {Status.WAITING}"]
    lines += [
        f"    {status} --> {after}: {', '.join(kinds)}"
        for (status, after), kinds in sorted(
            arrows.items(), key=lambda arrow: [order.index(status) for status in arrow[0]]
        )
    ]
    lines += [f"    {status} --> [*]" for status in order if status in OUTCOMES]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(mermaid())
