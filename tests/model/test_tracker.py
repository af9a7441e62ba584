from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from rtb.model.tracker import Place, Tracker
from rtb.model.wire import Held, Unit, UnitKey

ACCOUNTS = ("ada", "bob", "cy", "dot")
AGENTS = ("a1", "a2")
WEIGHTS = st.sampled_from([0.5, 1.0, 2.0, 3.0])
ON_AGENTS = (Place.GIVEN, Place.RUNNING)


def unit(
    number: int,
    account: str = "ada",
    *,
    attempt: int = 1,
    weight: float = 1.0,
    priority: int = 0,
    order: int = 1,
) -> Unit:
    raw = msgspec.Raw(b"null")
    return Unit(number, attempt, account, weight, priority, "w", None, order, f"u{number}", raw)


@attrs.define
class Line:
    """What the tracker should know of a unit."""

    account: str
    place: Place
    unit: Unit | None
    agent: str = ""


class Checked(RuleBasedStateMachine):
    """Any history of a tracker beside a slow and simple one."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = iter(range(1, 10**6))
        self.lines: dict[UnitKey, Line] = {}
        self.weights: dict[str, float] = {}
        self.served: Counter[str] = Counter()
        self.turn = 0
        self.gone: list[Unit] = []
        self.handed: set[UnitKey] = set()

    @initialize(capacity=st.integers(1, 8))
    def begin(self, capacity: int) -> None:
        self.tracker = Tracker(capacity)

    @precondition(lambda self: self.tracker.room)
    @rule(
        account=st.sampled_from(ACCOUNTS),
        weight=WEIGHTS,
        priority=st.integers(-1, 1),
        order=st.integers(1, 3),
        again=st.booleans(),
    )
    def arrive(self, account: str, weight: float, priority: int, order: int, again: bool) -> None:
        if again and self.gone:  # a key that was here before
            new = self.gone.pop()
            self.handed.discard(new.key)
        else:
            new = unit(next(self.numbers), account, weight=weight, priority=priority, order=order)
        self.tracker.arrive(new)
        self.lines[new.key] = Line(new.account, Place.ANNOUNCED, new)
        self.weights[new.account] = new.weight

    @rule(data=st.data())
    def store(self, data: Any) -> None:
        unknown = (999_999_999, 1)
        keys = data.draw(st.lists(st.sampled_from([*self.lines, unknown]), unique=True))
        self.tracker.store(keys)
        for key in keys:
            line = self.lines.get(key)
            if line is not None and line.place is Place.ANNOUNCED:
                line.place = Place.STORED

    @rule(most=st.integers(0, 6), agent=st.sampled_from(AGENTS))
    def hand_out(self, most: int, agent: str) -> None:
        expected = self.fair(most)
        taken = self.tracker.take(most)
        assert taken == expected
        for new in taken:
            assert new.key not in self.handed, "handed out twice"
            self.handed.add(new.key)
            self.tracker.give([new], agent, 1, 1)
            self.lines[new.key].agent = agent

    def fair(self, most: int) -> list[Unit]:
        """Ask who goes next, anew for every place and from nothing but the rule."""
        taken: list[Unit] = []
        for _ in range(most):
            stored = [line for line in self.lines.values() if line.place is Place.STORED]
            if not stored:
                break
            holds = Counter(line.account for line in self.lines.values() if line.place in ON_AGENTS)
            account = min(
                {line.account for line in stored},
                key=lambda account: (
                    Fraction(holds[account] + 1) / Fraction(self.weights[account]),
                    self.served[account],
                    account,
                ),
            )
            units = [line.unit for line in stored if line.account == account and line.unit]
            first = min(units, key=lambda new: (-new.priority, new.order, new.unit, new.attempt))
            self.lines[first.key].place = Place.GIVEN
            self.turn += 1
            self.served[account] = self.turn
            taken.append(first)
        return taken

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), agent=st.sampled_from(AGENTS), started=st.booleans())
    def adopt(self, data: Any, agent: str, started: bool) -> None:
        key = data.draw(st.sampled_from(list(self.lines)))
        line = self.lines[key]
        self.tracker.adopt(Held(*key, started, line.account), agent)
        if line.place is not Place.RUNNING:
            line.place = Place.RUNNING if started else Place.GIVEN
        line.agent = agent

    @rule(account=st.sampled_from(ACCOUNTS), agent=st.sampled_from(AGENTS))
    def bring(self, account: str, agent: str) -> None:
        """An agent runs what this tracker never saw."""
        held = Held(next(self.numbers), 1, True, account)
        self.tracker.adopt(held, agent)
        self.lines[held.key] = Line(account, Place.RUNNING, None, agent)
        self.weights.setdefault(account, 1.0)

    @precondition(lambda self: self.lines)
    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        key = data.draw(st.sampled_from(list(self.lines)))
        line = self.lines.pop(key)
        entry = self.tracker.remove(key)
        assert entry is not None
        assert (entry.account, entry.place, entry.agent) == (line.account, line.place, line.agent)
        assert self.tracker.remove(key) is None
        if line.unit is not None:
            self.gone.append(line.unit)

    @rule(weights=st.dictionaries(st.sampled_from(ACCOUNTS), WEIGHTS))
    def weigh(self, weights: dict[str, float]) -> None:
        self.tracker.weigh(weights)
        self.weights |= {a: w for a, w in weights.items() if a in self.weights}

    @rule()
    def clear(self) -> None:
        self.tracker.clear()
        self.gone += [line.unit for line in self.lines.values() if line.unit is not None]
        self.lines.clear()

    @invariant()
    def counts_equal_a_recount(self) -> None:
        if not hasattr(self, "tracker"):
            return
        places = Counter(line.place for line in self.lines.values())
        queued = places.total() - places[Place.RUNNING]
        assert self.tracker.queued == queued
        assert self.tracker.running == places[Place.RUNNING]
        assert self.tracker.stored == places[Place.STORED]
        assert queued <= self.tracker.capacity
        assert self.tracker.room == self.tracker.capacity - queued
        assert {entry.key: entry.place for entry in self.tracker} == {
            key: line.place for key, line in self.lines.items()
        }
        assert all(key in self.tracker for key in self.lines)
        for agent in AGENTS:
            assert {entry.key for entry in self.tracker.of_agent(agent)} == {
                key for key, line in self.lines.items() if line.agent == agent
            }


TestChecked = Checked.TestCase
TestChecked.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_what_is_not_reported_is_not_handed_out() -> None:
    tracker = Tracker(5)
    tracker.arrive(unit(1))
    assert tracker.take(5) == []
    tracker.store([(1, 1)])
    assert [new.unit for new in tracker.take(5)] == [1]
    assert tracker.take(5) == []


def test_priority_then_age_inside_an_account() -> None:
    tracker = Tracker(9)
    for new in (
        unit(4, order=2),
        unit(3, order=1),
        unit(2, order=1),
        unit(9, order=3, priority=1),
    ):
        tracker.arrive(new)
    tracker.store([(4, 1), (3, 1), (2, 1), (9, 1)])
    assert [new.unit for new in tracker.take(4)] == [9, 2, 3, 4]


def test_a_newcomer_does_not_wait_behind_a_full_tracker() -> None:
    tracker = Tracker(20)
    for number in range(1, 11):
        tracker.arrive(unit(number, "ada"))
    tracker.store([(number, 1) for number in range(1, 11)])
    assert {new.account for new in tracker.take(4)} == {"ada"}
    tracker.arrive(unit(11, "bob"))
    tracker.store([(11, 1)])
    assert [new.account for new in tracker.take(2)] == ["bob", "ada"]


def test_units_that_agents_bring_along_may_fill_it_over_the_bound() -> None:
    tracker = Tracker(1)
    for number in (1, 2, 3):
        tracker.adopt(Held(number, 1, False, "ada"), "a1")
    assert (tracker.queued, tracker.room) == (3, 0)


@pytest.mark.parametrize("started", [False, True])
def test_an_adopted_unit_counts_for_its_account(started: bool) -> None:
    tracker = Tracker(9)
    tracker.adopt(Held(1, 1, started, "ada"), "a1")
    tracker.arrive(unit(2, "ada"))
    tracker.arrive(unit(3, "bob"))
    tracker.store([(2, 1), (3, 1)])
    assert [new.account for new in tracker.take(2)] == ["bob", "ada"]
