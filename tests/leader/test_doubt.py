"""Units that may have been given up while nobody led, or while the leader stood still."""

from __future__ import annotations

from typing import Any

import msgspec

from rtb.broker.messages import Delivery
from rtb.leader.doubt import Doubt
from rtb.leader.letters import Letters
from rtb.model.tracker import Tracker
from rtb.model.wire import Unit


def unit(number: int) -> Unit:
    return Unit(number, 1, "ann", 1.0, 0, "w", None, 1, f"u{number}", msgspec.Raw(b"null"), 0)


class _Consumer:
    def __init__(self) -> None:
        self.acked: list[int] = []

    def ack(self, tag: int, *, multiple: bool) -> None:
        self.acked.append(tag)


def letter(consumer: Any, tag: int) -> Delivery:
    return Delivery("out.outbox", b"", False, "", {}, consumer, tag)


def test_only_the_answer_to_a_report_that_named_it_ends_doubt() -> None:
    doubt = Doubt()
    doubt.add([(1, 1), (2, 1)])
    assert doubt.named(7, [(1, 1), (3, 1)])
    assert not doubt.named(8, [(3, 1)])
    assert doubt.answered([8]) == []
    assert doubt.answered([6, 7]) == [(1, 1)]
    assert (1, 1) not in doubt
    assert (2, 1) in doubt
    doubt.forget((2, 1))
    assert not doubt.named(9, [(2, 1)])


def test_a_letter_is_acked_when_all_in_it_is_reported() -> None:
    consumer, letters = _Consumer(), Letters()
    letters.add(letter(consumer, 1), [unit(1), unit(2)])
    letters.add(letter(consumer, 2), [])
    assert [taken.unit for taken in letters.take(1)] == [1]
    letters.reported([(1, 1)])
    assert consumer.acked == []
    assert [taken.unit for taken in letters.take(5)] == [2]
    assert letters.is_unreported((2, 1))
    letters.drop((2, 1))
    assert letters.take(5) == []
    assert consumer.acked == [1, 2]
    letters.add(letter(consumer, 3), [unit(3), unit(4)])
    letters.take(1)
    assert letters.clear() == [(4, 1)]
    assert consumer.acked == [1, 2, 3]


def test_what_is_in_doubt_is_not_handed_out_until_it_is_stored_again() -> None:
    tracker = Tracker(10)
    for number in (1, 2):
        tracker.arrive(unit(number))
        tracker.store([(number, 1)])
    assert tracker.doubt() == [(1, 1), (2, 1)]
    assert tracker.take(5) == []
    assert tracker.queued == 2
    tracker.store([(2, 1)])
    assert [taken.unit for taken in tracker.take(5)] == [2]
    tracker.store([(1, 1)])
    assert [taken.unit for taken in tracker.take(5)] == [1]
