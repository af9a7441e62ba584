"""What a leader knows of an agent whose process has ended, from its register alone."""

from __future__ import annotations

import msgspec

from rtb.leader.register import Register, Standing
from rtb.model.tracker import Tracker
from rtb.model.wire import Held, Presence, Track, Unit


def track(seq: int, *holding: Held, agent: str = "a", presence: Presence = Presence.READY) -> Track:
    return Track(
        ledger="l", box="b", agent=agent, name="agent-0", host="n:1", pid=1, presence=presence,
        seq=seq, session=1, leader="x", heard=0, slots=4, workloads=["w"], holding=list(holding),
        container="container_1",
    )  # fmt: skip


def given(tracker: Tracker, number: int) -> None:
    unit = Unit(number, 1, "me", 1.0, 0, "w", None, 1, "u", msgspec.Raw(b"null"))
    tracker.arrive(unit)
    tracker.store([unit.key])
    tracker.take(1)
    tracker.give([unit], "a", 1, 1)


def test_all_that_it_had_is_known_lost_even_what_was_disowned_before() -> None:
    tracker = Tracker(10)
    register = Register(tracker, 10.0)
    register.heard(track(1, Held(1, 1, True, "me")), "x", "l", 0.0)
    given(tracker, 2)
    agent = register.get("a")
    assert agent is not None
    register.unreached(agent)
    assert list(tracker) == []
    assert register.ended(agent) == [(1, 1), (2, 1)]
    assert register.get("a") is None


def test_a_word_that_was_on_its_way_does_not_raise_the_dead() -> None:
    register = Register(Tracker(10), 10.0)
    register.heard(track(1), "x", "l", 0.0)
    agent = register.get("a")
    assert agent is not None
    register.ended(agent)
    assert register.heard(track(2, Held(1, 1, True, "me")), "x", "l", 1.0) == []
    assert register.get("a") is None


def test_one_that_leaves_gets_nothing_and_counts_no_slots() -> None:
    register = Register(Tracker(10), 10.0)
    register.heard(track(1), "x", "l", 0.0)
    agent = register.get("a")
    assert agent is not None
    agent.standing = Standing.LEAVING
    assert register.free(1.0) == []
    assert register.slots == 0
    # Not even when its queue was found gone and it is back.
    register.unreached(agent)
    register.heard(track(2), "x", "l", 2.0)
    assert register.free(2.0) == []
