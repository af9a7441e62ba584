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


def test_what_ended_takes_no_slot_and_is_held_until_its_news_is_confirmed() -> None:
    slots = Slots(2)
    ends = holding(1)
    slots.add(ends)
    slots.add(holding(2))
    assert (slots.free, slots.ended) == (0, 0)
    slots.end(ends)
    assert (len(slots), slots.free, slots.ended) == (2, 1, 1)
    assert [one.unit.unit for one in slots.running] == [2]
    slots.remove((1, 1))
    assert (len(slots), slots.free, slots.ended) == (1, 1, 0)


def test_where_nothing_is_confirmed_it_holds_twice_its_slots_and_no_more() -> None:
    slots = Slots(2)
    held = 0
    while slots.free and held < 9:
        held += 1
        slots.add(one := holding(held))
        slots.end(one)
    assert (held, slots.ended) == (4, 2)
    slots.remove((1, 1))
    assert (slots.free, slots.ended) == (1, 2)


def test_the_leader_may_miss_a_slot_where_it_knows_of_few() -> None:
    slots = Slots(4)
    held = [holding(number) for number in range(1, 5)]
    for one in held:
        slots.add(one)
    assert not slots.leader_may_miss_one, "all are taken"
    slots.end(held[0])
    assert slots.leader_may_miss_one
    slots.told()
    assert not slots.leader_may_miss_one
    slots.end(held[1])
    slots.told()
    slots.end(held[2])
    assert not slots.leader_may_miss_one, "it knows of half of them"


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
