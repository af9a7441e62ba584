"""Which failpoints are still to be met, and which of them a new life of a role is armed with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

from rtb.chaos.slot import End, Slot
from rtb.failpoint import LOSSES, POINTS

__all__ = ["EXPECTED_LOSSES", "Coverage", "needs"]

#: Only a leader with a launcher knows that an agent has ended; here nobody launches.
EXPECTED_LOSSES = tuple(point for point in LOSSES if point != "lost-lost")
#: What a role comes to seldom: it is armed for as long as it was not met, beside another one.
_SELDOM = frozenset({"a3", "a10", "a11"}) | frozenset(EXPECTED_LOSSES) - {
    "lost-out", "lost-control", "lost-barrier", "lost-roll", "lost-work-give", "lost-report",
    "lost-track", "lost-processing", "lost-success",
}  # fmt: skip
#: At first by chance, so that it is not always the first time that is met.
_CHANCE = 0.25
#: The share of lives that are armed while other faults go on.
_ARMED = 0.6


def needs(met: Mapping[str, int], goal: int, runs_left: int, random: Random) -> Counter[str]:
    """Return what a run shall meet so that all is met *goal* times when the last one is over.

    :param met: how often each point was met in earlier runs
    :param runs_left: with this one
    """
    found: Counter[str] = Counter()
    for points in (tuple(POINTS), EXPECTED_LOSSES):
        open_ = [point for point in points for _ in range(goal - met.get(point, 0))]
        random.shuffle(open_)
        open_.sort(key=lambda point: met.get(point, 0))
        found.update(open_[: -(-len(open_) // runs_left)])
    return found


def _plays(point: str, kind: str) -> bool:
    role = (POINTS.get(point) or LOSSES[point]).partition(":")[0].lower()
    return kind in role.split(", ")


class Coverage:
    """Hands out failpoints to new lives of roles until each was met as often as it is needed."""

    def __init__(self, random: Random, needed: Mapping[str, int]) -> None:
        self._random = random
        self._needed = needed
        self.met: Counter[str] = Counter()
        #: Points that some life was armed with and ended without.
        self._missed: set[str] = set()
        self._armed: dict[str, list[str]] = {}
        self._share = 0.0

    def begin(self) -> None:
        """Arm most new lives from now on; the others let work get on."""
        self._share = _ARMED

    def hurry(self) -> None:
        """Arm every new life from now on."""
        self._share = 1.0

    def end(self) -> None:
        """Arm no life any more."""
        self._share = 0.0

    @property
    def missing(self) -> list[str]:
        """The points that were not met often enough."""
        return [point for point in self._needed if self.met[point] < self._needed[point]]

    @property
    def unmet(self) -> list[str]:
        """The points of :attr:`missing` at which a process ends; messages are lost as it comes."""
        return [point for point in self.missing if point in POINTS]

    def wants(self, slot: Slot) -> bool:
        """Is there something to meet for the role of *slot*?"""
        return any(_plays(point, slot.kind) for point in self.unmet)

    def choose(self, slot: Slot) -> str:
        """Return what RTB_FAILPOINT is in the next life of *slot*."""
        armed = self._random.random() < self._share
        points = [point for point in self.missing if armed and _plays(point, slot.kind)]
        chosen = [point for point in points if point in _SELDOM]
        for group in (POINTS, LOSSES):
            common = [point for point in points if point in group and point not in _SELDOM]
            others = {point for armed in self._armed.values() for point in armed}
            free = [point for point in common if point not in others]
            if common:
                chosen.append(self._random.choice(free or common))
        self._armed[slot.name] = chosen
        return ",".join(
            f"{point}:{1 if point in _SELDOM or point in self._missed else _CHANCE}"
            for point in chosen
        )

    def ended(self, end: End) -> None:
        """Count what *end* met, and what it did not."""
        met = [*end.lost, *([end.cause] if end.cause in POINTS else [])]
        self.met.update(met)
        self._missed.update(set(self._armed.pop(end.slot, [])) - set(met))
