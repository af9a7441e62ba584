"""Named points at which a process ends as if killed, or loses a message: for those who check rtb.

A random SIGKILL almost never meets a window of a millisecond; a failpoint always does. Off, which
is always but under ``rtb chaos``, :func:`hit` and :func:`loses` do nothing at all.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from random import SystemRandom

__all__ = ["LOSSES", "POINTS", "arm", "hit", "kind_of", "loses", "read"]

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

#: Which messages can be lost, once in a process: the sender takes the message for confirmed, and
#: nobody ever gets it, as when a broker confirms and then loses its disk.
LOSSES: Mapping[str, str] = {
    "lost-out": "API: units for a box",
    "lost-control": "API: the state of a box",
    "lost-barrier": "API: an epoch to end",
    "lost-roll": "leader: that it leads",
    "lost-roll-call": "leader: who is there?",
    "lost-work-give": "leader: units for an agent to run",
    "lost-work-drop": "leader: units for an agent to drop, or that it is not wanted",
    "lost-report": "leader: what it holds",
    "lost-report-first": "leader: what it holds when it begins to lead",
    "lost-report-gone": "leader: that it stops",
    "lost-returned": "agent, leader: units that were not run",
    "lost-lost": "leader: units whose agent is known to have ended",
    "lost-track": "agent: what it holds",
    "lost-track-draining": "agent: that it takes nothing new",
    "lost-track-gone": "agent: that it ends",
    "lost-processing": "agent: units that began",
    "lost-success": "agent: units that succeeded",
    "lost-failed": "agent: units that failed and may be tried again",
    "lost-error": "agent: units that failed for good",
    "lost-holding": "agent: what it runs while nobody leads",
}

_ENTRY = re.compile(r"(?P<point>[a-z][a-z0-9-]*)(?::(?P<chance>[01]|[01]?\.[0-9]{1,6}))?\Z")
_KILLED = 137
_random = SystemRandom().random


def read(text: str) -> dict[str, float]:
    """Return the chances by point that *text* lists, as ``a2:0.2,l3,lost-track``.

    :raises ValueError: with the end of a sentence that begins with the setting's name
    """
    chances = {}
    for entry in filter(None, text.split(",")):
        match = _ENTRY.match(entry.strip())
        if match is None or match["point"] not in {**POINTS, **LOSSES}:
            raise ValueError(
                "must be POINT:CHANCE, separated by commas, with points "
                f"{', '.join([*POINTS, *LOSSES])}"
            )
        chances[match["point"]] = min(1.0, float(match["chance"] or 1))
    return chances


def kind_of(routing_key: str, body: bytes) -> str:
    """Return which of :data:`LOSSES` the message *body* is that travels by *routing_key*."""
    kind, _, rest = routing_key.partition(".")
    if kind == "status" and rest != "queued":
        return f"lost-{rest}"
    said = json.loads(body) if kind in ("status", "roll", "work", "track") else {}
    match kind:
        case "status":
            detail = "-gone" if said["gone"] else "-first" if said["first"] else ""
            return f"lost-report{detail}"
        case "roll":
            return "lost-roll-call" if said["call"] else "lost-roll"
        case "work":
            return "lost-work-give" if said["give"] else "lost-work-drop"
        case "track":
            return {"ready": "lost-track"}.get(said["presence"], f"lost-track-{said['presence']}")
        case _:
            return f"lost-{kind}"


def _off(point: str) -> None:
    """Do nothing."""


def _keeps(routing_key: str, body: bytes) -> bool:
    """Lose nothing."""
    return False


#: Called where a process may end; a name of this module, looked up at each call.
hit: Callable[[str], None] = _off
#: Called with each message that is about to leave: is it to be lost?
loses: Callable[[str, bytes], bool] = _keeps


def arm(chances: Mapping[str, float], random: Callable[[], float] = _random) -> None:
    """Let this process end, or lose messages, at the points of *chances*; empty: never."""
    losses = {point: chance for point, chance in chances.items() if point in LOSSES}

    def hit_armed(point: str) -> None:
        if point in chances and random() < chances[point]:
            os.write(2, f"failpoint {point}: this process ends here\n".encode())
            os._exit(_KILLED)

    def loses_armed(routing_key: str, body: bytes) -> bool:
        point = kind_of(routing_key, body) if losses else ""
        if point not in losses or random() >= losses[point]:
            return False
        del losses[point]
        os.write(2, f"failpoint {point}: a message is lost here\n".encode())
        return True

    global hit, loses
    hit = hit_armed if chances else _off
    loses = loses_armed if losses else _keeps
