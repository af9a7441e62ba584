from __future__ import annotations

import msgspec

from rtb.agent.slots import Holding, Slots, Stage
from rtb.model.wire import Held, Unit


def holding(number: int, attempt: int = 1, stage: Stage = Stage.RUNNING) -> Holding:
    raw = msgspec.Raw(b"null")
    unit = Unit(number, attempt, "ada", 1.0, 0, "w", None, 1, "u", raw)
    return Holding(unit, "d1", since=5.0, stage=stage)


def test_empty() -> None:
    slots = Slots(3)
    assert (len(slots), slots.free, slots.running, list(slots)) == (0, 3, [], [])
    assert (1, 1) not in slots
    assert slots.get((1, 1)) is None


def test_a_unit_and_its_attempt_name_a_holding() -> None:
    slots = Slots(3)
    one, again = holding(1), holding(1, attempt=2)
    slots.add(one)
    slots.add(again)
    assert (len(slots), slots.free) == (2, 1)
    assert (slots.get((1, 1)), slots.get((1, 2))) == (one, again)
    slots.remove((1, 1))
    slots.remove((1, 1))
    assert list(slots) == [again]
    assert (1, 1) not in slots
    assert (1, 2) in slots


def test_what_ended_takes_a_slot_until_its_news_is_confirmed() -> None:
    slots = Slots(2)
    slots.add(holding(1, stage=Stage.ENDED))
    slots.add(holding(2))
    assert slots.free == 0
    assert [one.unit.unit for one in slots.running] == [2]


def test_what_was_dropped_runs_until_it_ended() -> None:
    slots = Slots(2)
    slots.add(holding(1, stage=Stage.DROPPED))
    assert [one.unit.unit for one in slots.running] == [1]


def test_holdings_may_leave_while_they_are_looked_at() -> None:
    slots = Slots(9)
    for number in range(1, 6):
        slots.add(holding(number))
    for one in slots:
        slots.remove(one.unit.key)
    assert len(slots) == 0


def test_as_the_state_shows_it() -> None:
    assert holding(4, attempt=2).held == Held(4, 2, True, "ada")
