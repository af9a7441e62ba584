"""The job tracker: a leader's bounded, fair store of units, and who has which.

It holds each unit from its arrival until it is known to have left; who vouches for the box names
exactly what is in here. Not more than ``capacity`` units are on this side of their start.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from enum import IntEnum, auto

import attrs

from rtb.model import fairuse
from rtb.model.wire import Held, Unit, UnitKey

__all__ = ["Entry", "Place", "Tracker"]


class Place(IntEnum):
    """Where in the leader's hands a unit is; numbers, which count faster than names."""

    #: It arrived; the report that says so is not confirmed yet.
    ANNOUNCED = auto()
    #: It may be handed out.
    STORED = auto()
    #: It was handed out and is not known to have started.
    GIVEN = auto()
    #: An agent runs it.
    RUNNING = auto()


@attrs.define(eq=False)
class Entry:
    """A unit in the tracker."""

    key: UnitKey
    claimant: fairuse.Claimant
    place: Place
    #: What to hand out; None for one that an agent brought along.
    unit: Unit | None = None
    #: The agent that has it, the number of the message that handed it out, and the session then.
    agent: str = ""
    number: int = 0
    session: int = 0
    #: What the agent says of it, once it has.
    held: Held | None = None
    #: Where it stands in the line of its account, once it does.
    rank: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)

    @property
    def account(self) -> str:
        """Whose it is."""
        return self.claimant.account


def _rank(entry: Entry) -> tuple[int, int, int, int, int]:
    return entry.rank


class Tracker:
    """Stores at most *capacity* units that have not started."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._entries: dict[UnitKey, Entry] = {}
        #: By agent: what it was given and has not named, and what it has named.
        self._handed: dict[str, dict[UnitKey, Entry]] = {}
        self._held: dict[str, dict[Held, Entry]] = {}
        #: By account, in the order of rank; what left otherwise is skipped at the front.
        self._lines: dict[str, deque[Entry]] = {}
        self._claimants: dict[str, fairuse.Claimant] = {}
        self._count = dict.fromkeys(Place, 0)
        self._clock = 0

    def __contains__(self, key: UnitKey) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    @property
    def queued(self) -> int:
        """Units that have not started, as far as is known."""
        return len(self._entries) - self._count[Place.RUNNING]

    @property
    def stored(self) -> int:
        """Units that may be handed out."""
        return self._count[Place.STORED]

    @property
    def running(self) -> int:
        """Units that agents run."""
        return self._count[Place.RUNNING]

    @property
    def room(self) -> int:
        """How many more units may arrive."""
        return max(0, self.capacity - self.queued)

    def of_agent(self, agent: str) -> list[Entry]:
        """Return what *agent* has, or is being handed."""
        return [*self.handed(agent), *self._held.get(agent, {}).values()]

    def handed(self, agent: str) -> list[Entry]:
        """Return what *agent* was given and has not named yet."""
        return list(self._handed.get(agent, {}).values())

    def handed_to(self, agent: str) -> int:
        """Return how many units *agent* was given and has not named yet."""
        return len(self._handed.get(agent, ()))

    def arrive(self, unit: Unit) -> None:
        """Take *unit* in; it may not be handed out before :meth:`store`."""
        claimant = self._claimant(unit.account)
        claimant.weight = unit.weight
        self._add(Entry(unit.key, claimant, Place.ANNOUNCED, unit))

    def store(self, keys: Iterable[UnitKey]) -> None:
        """The ledger will know of *keys*: they may be handed out."""
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None and entry.place is Place.ANNOUNCED and entry.unit is not None:
                self._move(entry, Place.STORED)
                unit = entry.unit
                entry.rank = (-unit.priority, unit.order, -unit.bump, unit.unit, unit.attempt)
                self._line_up(entry)

    def doubt(self) -> list[UnitKey]:
        """Hand out nothing of what is stored, until :meth:`store` again; return what that is."""
        stored = [entry for entry in self if entry.place is Place.STORED]
        for entry in stored:
            self._move(entry, Place.ANNOUNCED)
        return [entry.key for entry in stored]

    def take(self, most: int) -> list[Unit]:
        """Return at most *most* stored units in fair order; they count as given from now on."""
        heap = [(fairuse.key(claimant), claimant) for claimant in map(self._claimant, self._lines)]
        heapq.heapify(heap)
        taken: list[Unit] = []
        while heap and len(taken) < most:
            claimant = heap[0][1]
            unit = self._next_of(claimant.account)
            if unit is None:
                heapq.heappop(heap)
                continue
            self._clock += 1
            claimant.served = self._clock
            taken.append(unit)
            heapq.heapreplace(heap, (fairuse.key(claimant), claimant))
        return taken

    def give(self, units: Iterable[Unit], agent: str, number: int, session: int) -> None:
        """Note that *units* go to *agent*, by its message *number* in its *session*."""
        handed = self._handed.setdefault(agent, {})
        for unit in units:
            entry = self._entries[unit.key]
            entry.agent, entry.number, entry.session = agent, number, session
            handed[entry.key] = entry

    def hear(self, agent: str, holding: Iterable[Held]) -> None:
        """Note that *holding* is all that *agent* has; what it had and does not name is done.

        Agents of a thousand slots say so a hundred times a second: only what is other than the
        last time is looked at one by one.
        """
        named = set(holding)
        for held in named.difference(self._held.get(agent, ())):
            self.adopt(held, agent)
        for held in [held for held in self._held.get(agent, ()) if held not in named]:
            self.remove(held.key)

    def adopt(self, held: Held, agent: str) -> None:
        """Note that *agent* says it has *held*, however it came by it."""
        entry = self._entries.get(held.key)
        if entry is None:
            entry = Entry(held.key, self._claimant(held.account), Place.GIVEN)
            self._add(entry)
        elif entry.place in (Place.ANNOUNCED, Place.STORED):
            self._move(entry, Place.GIVEN)
        self._part(entry)
        entry.agent, entry.held = agent, held
        self._held.setdefault(agent, {})[held] = entry
        if held.started and entry.place is Place.GIVEN:
            self._move(entry, Place.RUNNING)

    def remove(self, key: UnitKey) -> Entry | None:
        """Forget *key*; return what it was."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._count[entry.place] -= 1
            if entry.place in (Place.GIVEN, Place.RUNNING):
                entry.claimant.holds -= 1
            self._part(entry)
        return entry

    def clear(self) -> None:
        """Forget everything."""
        for key in list(self._entries):
            self.remove(key)

    def weigh(self, weights: dict[str, float]) -> None:
        """Note the accounts' *weights*."""
        for account, weight in weights.items():
            if account in self._claimants:
                self._claimants[account].weight = weight

    def _add(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        self._count[entry.place] += 1
        if entry.place is Place.GIVEN:
            entry.claimant.holds += 1

    def _move(self, entry: Entry, place: Place) -> None:
        self._count[entry.place] -= 1
        self._count[place] += 1
        if place is Place.GIVEN:
            entry.claimant.holds += 1
        entry.place = place

    def _part(self, entry: Entry) -> None:
        """Take *entry* from the agent that has it, if one has."""
        agent = entry.agent
        if entry.held is not None:
            held = self._held[agent]
            del held[entry.held]
            if not held:
                del self._held[agent]
        elif agent in self._handed:
            handed = self._handed[agent]
            handed.pop(entry.key, None)
            if not handed:
                del self._handed[agent]

    def _line_up(self, entry: Entry) -> None:
        line = self._lines.setdefault(entry.account, deque())
        if line and entry.rank < line[-1].rank:
            insort(line, entry, key=_rank)
        else:  # nearly always: they come in order
            line.append(entry)

    def _claimant(self, account: str) -> fairuse.Claimant:
        claimant = self._claimants.get(account)
        if claimant is None:
            claimant = self._claimants[account] = fairuse.Claimant(account, 1.0, 0, 0)
        return claimant

    def _next_of(self, account: str) -> Unit | None:
        """Return the first unit in the line of *account*, which counts as given from now on."""
        line = self._lines[account]
        while line:
            entry = line.popleft()
            # Lines are cleaned here only: one that left otherwise is skipped.
            if entry.place is Place.STORED and self._entries.get(entry.key) is entry:
                self._move(entry, Place.GIVEN)
                return entry.unit
        del self._lines[account]
        return None
