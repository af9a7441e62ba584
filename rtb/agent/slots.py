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
    #: It ended; its news is not confirmed yet, so that the agent still holds it.
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
    """Holds at most *most* units."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._holdings: dict[UnitKey, Holding] = {}

    def __iter__(self) -> Iterator[Holding]:
        return iter(list(self._holdings.values()))

    def __len__(self) -> int:
        return len(self._holdings)

    def __contains__(self, key: UnitKey) -> bool:
        return key in self._holdings

    @property
    def free(self) -> int:
        """How many more it may hold."""
        return self.most - len(self._holdings)

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

    def remove(self, key: UnitKey) -> None:
        """Hold *key* no longer."""
        self._holdings.pop(key, None)
