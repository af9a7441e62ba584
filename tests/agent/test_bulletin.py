from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rtb.agent.bulletin import Bulletin
from rtb.agent.slots import Holding, Slots
from rtb.broker import BrokerUnavailable, Outgoing
from rtb.broker.post import Post
from rtb.model.wire import Presence, Track, Unit, decode


class Said:
    """A bulletin over slots, and what it said."""

    def __init__(self, slots: int = 10) -> None:
        self.clock = Clock()
        self.slots = Slots(slots)
        self.tracks: list[tuple[float, Track]] = []
        self.unconfirmed: list[Deferred[None]] = []
        post: Any = Post("a1")
        client: Any = self
        self.bulletin = Bulletin(self.clock, client, post, self.slots, self.state)

    def state(self) -> Track:
        return Track(
            ledger="d1", box="b", agent="a1", name="a", host="h", pid=1, presence=Presence.READY,
            seq=len(self.tracks) + 1, session=1, leader="", heard=0, slots=self.slots.most,
            workloads=[], holding=[one.held for one in self.slots], ended=self.slots.ended,
        )  # fmt: skip

    def publish(self, message: Outgoing) -> Deferred[None]:
        track = decode(message.routing_key, message.body)
        assert isinstance(track, Track)
        self.tracks.append((self.clock.seconds(), track))
        self.unconfirmed.append(Deferred())
        return self.unconfirmed[-1]

    def confirm(self) -> None:
        self.unconfirmed.pop(0).callback(None)

    def take(self, *numbers: int) -> list[Holding]:
        raw = msgspec.Raw(b"null")
        taken = []
        for number in numbers:
            unit = Unit(number, 1, "ada", 1.0, 0, "w", None, 1, "u", raw)
            taken.append(Holding(unit, "d1", since=0.0))
            self.slots.add(taken[-1])
        self.bulletin.changed()
        return taken

    def end(self, *held: Holding) -> None:
        for one in held:
            self.slots.end(one)
        self.bulletin.changed()

    def said(self) -> list[tuple[int, int]]:
        """How many were held and how many of these had ended, for each state."""
        said = [(len(track.holding), track.ended) for _, track in self.tracks]
        self.tracks.clear()
        return said


@pytest.fixture
def box() -> Said:
    return Said()


def test_a_slot_that_the_leader_may_miss_is_said_at_once(box: Said) -> None:
    held = box.take(*range(1, 11))
    box.end(held[0])
    assert box.said() == [(10, 1)]


def test_the_next_state_waits_for_the_last_one(box: Said) -> None:
    held = box.take(*range(1, 11))
    box.end(held[0])
    box.end(held[1])
    box.confirm()
    box.clock.advance(1e-6)
    assert box.said() == [(10, 1)]
    box.clock.advance(1e-3)
    assert box.said() == [(10, 2)]


def test_what_was_taken_is_said_a_moment_later(box: Said) -> None:
    box.take(1, 2, 3)
    box.clock.advance(3e-3)
    assert box.said() == []
    box.clock.advance(2e-3)
    assert box.said() == [(3, 0)]


def test_what_came_and_left_meanwhile_is_never_named(box: Said) -> None:
    held = box.take(1, 2, 3)
    box.end(*held)
    assert box.said() == []
    for one in held:
        box.slots.remove(one.unit.key)
    box.bulletin.changed()
    assert box.said() == []
    box.clock.advance(1.0)
    assert box.said() == [(0, 0)]


def test_changes_put_it_off_no_longer_than_the_first_of_them_may_wait(box: Said) -> None:
    first = box.take(1, 2, 3, 4)
    for _ in range(100):
        box.clock.advance(5e-5)
        box.bulletin.changed()
    assert box.said() == [(4, 0)]
    assert not box.slots.leader_may_miss_one
    box.end(*first)
    box.confirm()
    box.clock.advance(5e-3)
    assert box.said() == [(4, 4)]


def test_asked_for_it_is_said_at_once_and_once(box: Said) -> None:
    box.take(1)
    box.bulletin.now()
    box.confirm()
    box.clock.advance(1.0)
    assert box.said() == [(1, 0)]


def test_stopped_it_says_its_last_word_and_nothing_more(box: Said) -> None:
    box.take(1, 2)
    box.bulletin.stop()
    box.clock.advance(1.0)
    assert box.said() == []
    last = Deferred.fromCoroutine(box.bulletin.last_word())
    assert box.said() == [(2, 0)]
    box.unconfirmed.pop().errback(BrokerUnavailable("gone"))
    assert last.called
    box.bulletin.now()
    assert box.said() == []
