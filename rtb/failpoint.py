"""Named points at which a process ends as if it had been killed: for those who check rtb.

A random SIGKILL almost never meets a window of a millisecond; a failpoint always does. Off, which
is always but under ``rtb chaos``, :func:`hit` does nothing at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from random import SystemRandom

__all__ = ["POINTS", "arm", "hit", "read"]

#: Where a process can be made to end.
POINTS: Mapping[str, str] = {
    "a1": "API: before a claim is sent to the ledger",
    "a2": "API: a claim is committed, nothing of it published",
    "a3": "API: some messages of a claim are confirmed, others are under way",
    "a4": "API: a box message is confirmed, and nobody has noticed yet",
    "a5": "API: a claim is sent to the ledger, its answer is not read",
    "a6": "API: an inbox flush was taken, nothing of it booked",
    "a7": "API: the boxes' states of a flush are booked, its moves are not",
    "a8": "API: the moves of a flush are sent to the ledger, the answer is not read",
    "a9": "API: a flush is committed, not acked",
    "a10": "API: what is forsaken was looked up, not given up",
    "a11": "API: an epoch was ended, nobody looked for what is forsaken",
    "l1": "leader: a box message came, nothing of it is in the tracker",
    "l2": "leader: units are in the tracker, no report names them",
    "l3": "leader: a report of new units is published, not confirmed",
    "l4": "leader: a report of new units is confirmed, their message not acked",
    "l5": "leader: a box message is acked, the ack has not left",
    "l6": "leader: units may be handed out, none is",
    "l7": "leader: units are handed out, the message has not left",
    "g1": "agent: units came, none is noted",
    "g2": "agent: a unit is noted, not started",
    "g3": "agent: a unit is started, nobody knows",
    "g4": "agent: a unit has ended, its news is not published",
    "g5": "agent: news of units is confirmed, and nobody has noticed yet",
    "g6": "agent: news of units is confirmed, the leader does not know",
}

_ENTRY = re.compile(r"(?P<point>[a-z][0-9]+)(?::(?P<chance>[01]|[01]?\.[0-9]{1,6}))?\Z")
_KILLED = 137
_random = SystemRandom().random


def read(text: str) -> dict[str, float]:
    """Return the chances by point that *text* lists, as ``a2:0.2,l3``.

    :raises ValueError: with the end of a sentence that begins with the setting's name
    """
    chances = {}
    for entry in filter(None, text.split(",")):
        match = _ENTRY.match(entry.strip())
        if match is None or match["point"] not in POINTS:
            raise ValueError(
                f"must be POINT:CHANCE, separated by commas, with points {', '.join(POINTS)}"
            )
        chances[match["point"]] = min(1.0, float(match["chance"] or 1))
    return chances


def _off(point: str) -> None:
    """Do nothing."""


#: Called where a process may end; a name of this module, looked up at each call.
hit: Callable[[str], None] = _off


def arm(chances: Mapping[str, float], random: Callable[[], float] = _random) -> None:
    """Let this process end at the points of *chances* from now on; empty: never."""

    def hit_armed(point: str) -> None:
        if point in chances and random() < chances[point]:
            os.write(2, f"failpoint {point}: this process ends here\n".encode())
            os._exit(_KILLED)

    global hit
    hit = hit_armed if chances else _off
