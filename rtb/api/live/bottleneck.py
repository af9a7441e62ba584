"""What limits the line. Pure, and one rule: the first place from the end that is full, or empty."""

from __future__ import annotations

from collections import deque

import attrs

__all__ = ["Flow", "Limit", "Peaks", "bottleneck"]

_FULL = 0.8
#: Seconds for which a stage that was full counts as full.
_LATELY = 3.0
#: Messages that the API is behind by when it, or the ledger, is what limits the line.
_INBOX_FULL = 400


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
    #: Messages that wait to be booked.
    inbox: int = 0


@attrs.frozen
class Limit:
    """What limits the line now."""

    what: str
    why: str


class Peaks:
    """The fullest that the stages were in the last seconds.

    Units that began together end together: for a moment all slots are free, and limit nothing.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def of(self, flow: Flow, now: float) -> Flow:
        """Return *flow* with its stages as full as they were lately, while there is a backlog."""
        self._seen.append((now, flow.held, flow.processing))
        while now - self._seen[0][0] > _LATELY:
            self._seen.popleft()
        if not flow.waiting:
            return flow
        held = min(max(held for _, held, _ in self._seen), max(flow.capacity, flow.held))
        busy = min(max(busy for _, _, busy in self._seen), max(flow.slots, flow.processing))
        return attrs.evolve(flow, held=held, processing=busy)


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
    if flow.inbox > _INBOX_FULL:
        return Limit("ledger", f"{flow.inbox} messages wait to be booked")
    if flow.processing >= flow.slots * _FULL:
        return Limit("agents", f"{flow.processing} of {flow.slots} slots are busy")
    full = flow.held >= flow.capacity * _FULL
    if flow.waiting and not full:
        return Limit("dispatch", f"the job tracker holds {flow.held} of {flow.capacity}")
    if flow.waiting or flow.held > flow.slots:
        busy = f"{flow.processing} of {flow.slots} slots are busy"
        return Limit("hand-out", f"{busy} while {flow.held} units are held")
    return Limit("work", "the backlog is empty: the last units are under way")
