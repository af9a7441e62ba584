"""Why something waits and when it goes: the rule of fair use, run forward.

A forecast is what would happen if nobody ordered anything more and outcomes kept coming at their
present rate. Then the accounts' shares of the outcomes are as their weights until one of them has
nothing left, so each of the sums below is exact for the rule, and as good as the rate.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from enum import StrEnum

import attrs

__all__ = [
    "Code",
    "Forecast",
    "Line",
    "Rival",
    "Scene",
    "due",
    "forecast",
    "reason",
    "reasons",
    "turn",
]

#: How far off an expected end may be: this part of the time until then, or these seconds.
_RANGE = 0.3
_RANGE_LEAST = 5.0


class Code(StrEnum):
    """Why something waits, or that it does not."""

    #: All its units have settled.
    DONE = "DONE"
    #: Nothing of it waits: all that has not settled is under way.
    RUNNING = "RUNNING"
    #: Its units still come in.
    LOADING = "LOADING"
    CANCELLING = "CANCELLING"
    HELD = "HELD"
    NOT_BEFORE = "NOT_BEFORE"
    STOPPED = "STOPPED"
    NO_LEADER = "NO_LEADER"
    NO_WORKLOAD = "NO_WORKLOAD"
    NO_AGENT = "NO_AGENT"
    NEXT = "NEXT"
    ORDER = "ORDER"
    SHARE = "SHARE"
    WINDOW = "WINDOW"


SENTENCES = {
    Code.DONE: "all of it has come to an end",
    Code.RUNNING: "all that is left of it is under way",
    Code.LOADING: "it is still being uploaded",
    Code.CANCELLING: "it is being cancelled",
    Code.HELD: "somebody holds it until it is released",
    Code.NOT_BEFORE: "its time has not come",
    Code.STOPPED: "nothing is handed out until somebody presses go",
    Code.NO_LEADER: "no leader is there to take it",
    Code.NO_WORKLOAD: "no leader that is there offers its workload",
    Code.NO_AGENT: "no agent is there to run it",
    Code.NEXT: "it goes with the next claim",
    Code.ORDER: "other work of the same account goes first",
    Code.SHARE: "its account has its share under way, and others go first",
    Code.WINDOW: "it is first in line, and goes when a place is free",
}


@attrs.frozen
class Rival:
    """An account that something waits or runs for."""

    account: int
    weight: float
    flying: int
    #: Its ready units, of the workloads in question.
    ready: int
    #: The last claim that took from it.
    served: int = 0


@attrs.frozen(kw_only=True)
class Scene:
    """How things are for one kind of work."""

    going: bool
    #: Leaders that are there, and those among them that offer the workload.
    leaders: int
    offering: int
    #: Slots, and free places, of the latter.
    slots: int
    room: int
    #: Outcomes per second, and units that run.
    rate: float
    processing: int


@attrs.frozen(kw_only=True)
class Line:
    """An order, or a single unit, and where in its account's line it is."""

    account: int
    #: Already decided by itself: loading, held, and so on.
    code: Code | None = None
    #: Seconds until its time comes.
    delay: float = 0.0
    #: Ready units of the account that go before.
    ahead: int = 0
    #: Its own that are ready, wait for their time, and are in flight.
    ready: int = 0
    delayed: int = 0
    flying: int = 0


@attrs.frozen
class Forecast:
    """What is expected; seconds from now, None where nobody can know."""

    code: Code
    #: How many units go before its first one that waits, and one more.
    rank: int | None
    start: float | None
    finish: float | None
    #: The end is expected between these.
    earliest: float | None
    latest: float | None

    @property
    def why(self) -> str:
        """The code as a sentence."""
        return SENTENCES[self.code]


def turn(rivals: Iterable[Rival], account: int, ahead: int) -> int:
    """Return how many places go to anybody before the account's unit after *ahead* others."""
    everybody = list(rivals)
    own = next((rival for rival in everybody if rival.account == account), None)
    if own is None:
        return ahead
    key = ((own.flying + ahead + 1) / own.weight, own.served, own.account)
    return ahead + sum(_before(rival, key) for rival in everybody if rival is not own)


def _before(rival: Rival, key: tuple[float, int, int]) -> int:
    """Return how many places *rival* gets whose keys are smaller than *key*."""
    guess = math.ceil(key[0] * rival.weight) - rival.flying - 1
    places = max(0, min(rival.ready, guess + 2))
    while places and (((rival.flying + places) / rival.weight, rival.served, rival.account) >= key):
        places -= 1
    return places


def reason(scene: Scene, line: Line, rank: int | None) -> Code:
    """Return why *line*, before whose first unit *rank* others go, waits."""
    if line.code is not None:
        return line.code
    if not line.ready:
        return Code.NOT_BEFORE if line.delayed else Code.RUNNING if line.flying else Code.DONE
    for applies, code in (
        (not scene.going, Code.STOPPED),
        (not scene.leaders, Code.NO_LEADER),
        (not scene.offering, Code.NO_WORKLOAD),
        (not scene.slots, Code.NO_AGENT),
    ):
        if applies:
            return code
    assert rank is not None
    if rank < scene.room:
        return Code.NEXT
    if line.ahead:
        return Code.ORDER
    return Code.SHARE if rank else Code.WINDOW


def reasons(rivals: Sequence[Rival], scene: Scene, lines: Sequence[Line]) -> list[Code]:
    """Return why each of *lines*, all of one account, waits.

    It costs about as much for many as for one. The more go before a unit, the later it goes: so
    one number says of all of them whether they go with the next claim.
    """
    ready = [line for line in lines if line.ready and line.code is None]
    if not ready:
        return [reason(scene, line, None) for line in lines]
    account = ready[0].account
    first = turn(rivals, account, 0)
    soon = bisect_left(
        range(scene.room), scene.room, key=lambda ahead: turn(rivals, account, ahead)
    )
    return [
        reason(scene, line, first if not line.ahead else 0 if line.ahead < soon else scene.room)
        for line in lines
    ]


def forecast(rivals: Sequence[Rival], scene: Scene, line: Line) -> Forecast:
    """Return what is expected of *line*."""
    rank = turn(rivals, line.account, line.ahead) if line.ready else None
    code = reason(scene, line, rank)
    moving = scene.going and scene.slots and scene.rate > 0
    if code in _NEVER or not moving:
        return Forecast(code, None if rank is None else rank + 1, None, None, None, None)
    start = None
    if rank is not None and code is not Code.RUNNING:
        start = line.delay + max(0, rank - scene.room) / scene.rate
    finish = line.delay + _finish(rivals, scene, line)
    margin = max(_RANGE * finish, _RANGE_LEAST)
    return Forecast(
        code,
        None if rank is None else rank + 1,
        start,
        finish,
        max(0.0, finish - margin),
        finish + margin,
    )


_NEVER = frozenset({
    Code.DONE, Code.LOADING, Code.CANCELLING, Code.HELD, Code.STOPPED, Code.NO_LEADER,
    Code.NO_WORKLOAD, Code.NO_AGENT,
})  # fmt: skip


def _finish(rivals: Sequence[Rival], scene: Scene, line: Line) -> float:
    """Return when the line's last unit ends: as many outcomes later as all get until then."""
    own = next((rival for rival in rivals if rival.account == line.account), None)
    flying = own.flying if own is not None else line.flying
    weight = own.weight if own is not None else 1.0
    waiting = line.ready + line.delayed
    mine = flying + line.ahead + waiting if waiting else line.flying
    level = mine / weight
    others = sum(
        min(rival.flying + rival.ready, rival.weight * level)
        for rival in rivals
        if rival.account != line.account
    )
    # By Little's law a unit runs for processing / rate; nothing ends sooner than that.
    return max(mine + others, scene.processing) / scene.rate


def due(rivals: Sequence[Rival], places: int) -> dict[int, float]:
    """Return how many of *places* fair use wants each account to have, as a fraction of them.

    Nobody is due more than it has work for; what it leaves goes to the others by their weights.
    """
    shares: dict[int, float] = {}
    left = float(places)
    weights = sum(rival.weight for rival in rivals)
    for rival in sorted(rivals, key=lambda rival: (rival.flying + rival.ready) / rival.weight):
        got = min(float(rival.flying + rival.ready), left * rival.weight / weights)
        shares[rival.account] = got / places if places else 0.0
        left -= got
        weights -= rival.weight
    return shares
