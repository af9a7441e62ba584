"""What limits the line. Pure, and one rule: the first place from the end that is full, or empty."""

from __future__ import annotations

import attrs

__all__ = ["Flow", "Limit", "bottleneck"]

_FULL = 0.8


@attrs.frozen
class Flow:
    """How full each stage is."""

    going: bool
    waiting: int
    #: Sent or queued, and how many of those there is room for.
    held: int
    capacity: int
    processing: int
    slots: int
    leaders: int
    agents: int


@attrs.frozen
class Limit:
    """What limits the line now."""

    what: str
    why: str


def bottleneck(flow: Flow) -> Limit:
    """Return what limits *flow*."""
    left = flow.waiting + flow.held + flow.processing
    if not left:
        return Limit("nothing", "no unit is left to do")
    if not flow.going and flow.waiting:
        return Limit("go", "nothing is handed out until somebody says go")
    if not flow.leaders:
        return Limit("leader", "no leader reports: nobody hands out units")
    if not flow.agents or not flow.slots:
        return Limit("agents", "no agent is there to run units")
    # Between two units a slot is empty for a moment, so full is a little less than all.
    if flow.processing >= flow.slots * _FULL:
        return Limit("agents", f"{flow.processing} of {flow.slots} slots are busy")
    full = flow.held >= flow.capacity * _FULL
    if flow.waiting and not full:
        return Limit("dispatch", f"the job tracker holds {flow.held} of {flow.capacity}")
    if flow.waiting or flow.held > flow.slots:
        busy = f"{flow.processing} of {flow.slots} slots are busy"
        return Limit("hand-out", f"{busy} while {flow.held} units are held")
    return Limit("work", "the backlog is empty: the last units are under way")
