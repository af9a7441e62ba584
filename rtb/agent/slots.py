"""What an agent holds, and how far each unit is."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

import attrs

from rtb.agent.workloads import Running
from rtb.model.wire import Held, Unit, UnitKey

__all__ = ["Holding", "Slots", "Stage"]


class Stage(Enum):
    """How far a unit is on its agent."""

    RUNNING = auto()
    #: It ended, and its slot is free; its news is not confirmed yet, so that it is still held.
    ENDED = auto()
    #: Told to end, and not to be spoken of again.
    DROPPED = auto()


@attrs.define(eq=False)
class Holding:
    """A unit on its agent."""

    unit: Unit
    ledger: str
    #: When it started, in seconds on a steady clock.
    since: float
    stage: Stage = Stage.RUNNING
    running: Running | None = None
    #: As the agent's state shows it.
    held: Held = attrs.field(init=False)

    @held.default
    def _held(self) -> Held:
        return Held(self.unit.unit, self.unit.attempt, True, self.unit.account)


class Slots:
    """Runs at most *most* units, and holds as many more that ended and are not confirmed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._holdings: dict[UnitKey, Holding] = {}
        self._ended = 0
        #: Slots that are taken as far as the leader knows: it counts what it gives.
        self._known = 0

    def __iter__(self) -> Iterator[Holding]:
        return iter(list(self._holdings.values()))

    def __len__(self) -> int:
        return len(self._holdings)

    def __contains__(self, key: UnitKey) -> bool:
        return key in self._holdings

    @property
    def ended(self) -> int:
        """How many that ended take no slot: all, as long as they are not more than slots.

        Else an agent whose news nobody confirms would take more and more.
        """
        return min(self._ended, self.most)

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return len(self._holdings) - self.ended

    @property
    def free(self) -> int:
        """How many more units may come."""
        return self.most - self.taken

    @property
    def leader_may_miss_one(self) -> bool:
        """Is a slot free that the leader takes for taken, while it knows of few others?"""
        return self.taken < self._known and 2 * self._known > self.most

    def told(self) -> None:
        """The leader is told what is taken now."""
        self._known = self.taken

    @property
    def running(self) -> list[Holding]:
        """What runs now."""
        return [holding for holding in self if holding.stage is not Stage.ENDED]

    def get(self, key: UnitKey) -> Holding | None:
        """Return the holding of *key*."""
        return self._holdings.get(key)

    def add(self, holding: Holding) -> None:
        """Hold one more."""
        self._holdings[holding.unit.key] = holding
        self._known += 1

    def end(self, holding: Holding) -> None:
        """Note that *holding* has ended: its slot is free."""
        holding.stage = Stage.ENDED
        self._ended += 1

    def remove(self, key: UnitKey) -> None:
        """Hold *key* no longer."""
        holding = self._holdings.pop(key, None)
        if holding is not None and holding.stage is Stage.ENDED:
            self._ended -= 1
