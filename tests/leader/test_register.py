from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rtb.leader.register import FORGOTTEN, Agent, Register, Standing
from rtb.model.tracker import Place, Tracker
from rtb.model.wire import Held, Presence, Track, Unit, UnitKey

LEADER, LEDGER, SILENT = "l1", "d1", 10.0


def track(seq: int, *holding: tuple[int, bool], agent: str = "a1", **values: Any) -> Track:
    """Return an agent's state; *holding*: unit and whether it started."""
    return Track(
        **{
            "ledger": LEDGER,
            "box": "outbox",
            "agent": agent,
            "name": f"the {agent}",
            "host": "h",
            "pid": 1,
            "presence": Presence.READY,
            "seq": seq,
            "session": 1,
            "leader": LEADER,
            "heard": 0,
            "slots": 4,
            "workloads": ["coinflip", "w"],
            "holding": [Held(unit, 1, started, "ada") for unit, started in holding],
            **values,
        }
    )


class Box:
    """A register and its tracker, as a leader uses them."""

    def __init__(self) -> None:
        self.tracker = Tracker(50)
        self.register = Register(self.tracker, SILENT)
        self.now = 100.0

    def hear(self, said: Track, *, leader: str = LEADER) -> list[UnitKey]:
        return self.register.heard(said, leader, LEDGER, self.now)

    def agent(self, name: str = "a1") -> Agent:
        agent = self.register.get(name)
        assert agent is not None
        return agent

    def store(self, *units: int) -> None:
        for number in units:
            raw = msgspec.Raw(b"null")
            unit = Unit(number, 1, "ada", 1.0, 0, "w", None, 1, "u", raw)
            self.tracker.arrive(unit)
        self.tracker.store([(number, 1) for number in units])

    def give(self, most: int, name: str = "a1") -> int:
        """Hand out as the leader does; return the number of the message."""
        agent = self.agent(name)
        agent.number += 1
        for unit in self.tracker.take(most):
            self.tracker.give([unit], name, agent.number, agent.track.session)
        return agent.number

    def free(self) -> dict[str, int]:
        return {agent.track.agent: n for agent, n in self.register.free(self.now)}

    def has(self, name: str = "a1") -> dict[int, Place]:
        return {entry.key[0]: entry.place for entry in self.tracker.of_agent(name)}


@pytest.fixture
def box() -> Box:
    return Box()


# ---- hand-outs and what the agent says of them


def test_one_that_was_given_counts_until_it_is_named(box: Box) -> None:
    box.hear(track(1))
    assert box.free() == {"a1": 4}
    box.store(1, 2, 3, 4, 5)
    number = box.give(3)
    assert box.free() == {"a1": 1}
    assert box.hear(track(2)) == []  # said before it heard the hand-out
    assert box.has() == {1: Place.GIVEN, 2: Place.GIVEN, 3: Place.GIVEN}
    assert box.free() == {"a1": 1}
    assert box.hear(track(3, (1, True), (2, False), (3, True), heard=number)) == []
    assert box.has() == {1: Place.RUNNING, 2: Place.GIVEN, 3: Place.RUNNING}
    assert box.free() == {"a1": 1}


def test_one_that_was_named_and_is_no_more_is_done(box: Box) -> None:
    box.hear(track(1))
    box.store(1, 2)
    box.give(2)
    box.hear(track(2, (1, True), (2, True)))
    assert box.hear(track(3, (2, True))) == []
    assert box.has() == {2: Place.RUNNING}
    assert (1, 1) not in box.tracker
    assert box.free() == {"a1": 3}


def test_one_that_came_and_went_between_two_states_is_done(box: Box) -> None:
    box.hear(track(1))
    box.store(1, 2)
    first = box.give(1)
    box.give(1)
    assert box.hear(track(2, heard=first)) == []
    assert box.has() == {2: Place.GIVEN}


def test_what_was_heard_of_another_leader_proves_nothing(box: Box) -> None:
    box.hear(track(1, leader="l0", heard=7))
    assert box.agent().number == 0
    box.store(1)
    box.give(1)
    assert box.hear(track(2, leader="l0", heard=7)) == []
    assert box.has() == {1: Place.GIVEN}


def test_never_more_than_the_slots(box: Box) -> None:
    box.hear(track(1, (11, True), (12, True), (13, True), (14, True), (15, True)))
    assert box.free() == {}
    assert box.tracker.running == 5  # adopted, however it came by them


def test_slots_that_only_ended_news_fill_are_not_free(box: Box) -> None:
    """Named by the agent, done for the tracker or never in it: a slot is taken all the same."""
    box.hear(track(1, (1, True), (2, True)))
    assert box.free() == {"a1": 2}
    box.tracker.remove((1, 1))  # dropped; the agent has yet to end it
    assert box.free() == {"a1": 2}


def test_an_old_state_is_not_heard(box: Box) -> None:
    box.hear(track(5, (1, True)))
    box.now += 3
    assert box.hear(track(4)) == []
    assert box.hear(track(5)) == []
    assert box.has() == {1: Place.RUNNING}
    assert box.agent().silent(box.now) == 3


# ---- sessions


def test_what_went_to_a_queue_that_ended_was_never_received(box: Box) -> None:
    box.hear(track(1))
    box.store(1, 2, 3)
    first = box.give(1)
    box.give(2)
    assert box.hear(track(2, (1, True), session=2, heard=first)) == [(2, 1), (3, 1)]
    # They are the leader's to give back: it removes them.
    for key in ((2, 1), (3, 1)):
        box.tracker.remove(key)
    assert box.has() == {1: Place.RUNNING}
    assert box.hear(track(3, (1, True), session=2, heard=first)) == []


def test_what_was_received_before_the_connection_ended_is_not_missing(box: Box) -> None:
    box.hear(track(1))
    box.store(1, 2)
    number = box.give(2)
    assert box.hear(track(2, (1, True), session=2, heard=number)) == []
    assert box.has() == {1: Place.RUNNING}  # 2 ended meanwhile


def test_what_is_given_in_the_new_session_is_not_missing(box: Box) -> None:
    box.hear(track(1, session=2))
    box.store(1)
    box.give(1)
    assert box.hear(track(2, session=2)) == []
    assert box.has() == {1: Place.GIVEN}


def test_a_hand_out_that_came_back_ends_hand_outs_until_a_new_session(box: Box) -> None:
    box.hear(track(1))
    box.store(1, 2)
    box.give(1)
    box.register.unreached(box.agent())
    assert box.free() == {}
    assert box.has() == {}  # vouched for no longer
    box.hear(track(2, (9, True)))  # sent before its connection ended
    assert box.agent().standing is Standing.UNREACHED
    assert box.free() == {}
    box.hear(track(3, (9, True), session=2))
    assert box.agent().standing is Standing.WELCOME
    assert box.free() == {"a1": 3}


def test_what_ended_takes_no_slot_and_is_vouched_for(box: Box) -> None:
    box.hear(track(1, (1, True), (2, True), (3, True), (4, True), ended=3))
    assert box.free() == {"a1": 3}
    assert len(box.has()) == 4
    box.store(5, 6)
    box.give(2)
    assert box.free() == {"a1": 1}
    assert box.register.busy(box.now) == 1
    (state,) = box.register.states(box.now)
    assert state.busy == 1
    box.now += SILENT
    assert box.register.busy(box.now) == 0


def test_no_agent_has_more_slots_than_it_has(box: Box) -> None:
    box.hear(track(1, (1, True), ended=9))
    assert box.free() == {"a1": 4}


# ---- silence and goodbye


def test_a_silent_agent_is_neither_vouched_for_nor_given_work(box: Box) -> None:
    box.hear(track(1, (1, True)))
    box.store(2)
    box.give(1)
    box.now += SILENT - 0.1
    assert box.register.prune(box.now) == []
    assert box.has() == {1: Place.RUNNING, 2: Place.GIVEN}
    assert box.free() == {"a1": 2}
    box.now += 0.1
    assert box.free() == {}
    assert box.register.prune(box.now) == []
    assert box.has() == {}
    assert list(box.tracker) == []
    # Back again, it says what it runs.
    assert box.hear(track(2, (1, True))) == []
    assert box.has() == {1: Place.RUNNING}
    assert box.free() == {"a1": 3}


def test_one_silent_for_long_is_forgotten(box: Box) -> None:
    box.hear(track(1))
    box.hear(track(1, agent="a2"))
    box.now += FORGOTTEN - 1
    box.hear(track(2, agent="a2"))
    box.now += 1
    assert box.register.prune(box.now) == ["the a1"]
    assert [agent.track.agent for agent in box.register] == ["a2"]
    assert box.register.slots == 4


def test_a_forgotten_one_counts_on_from_what_it_heard(box: Box) -> None:
    box.hear(track(1))
    box.agent().number = 5
    box.now += FORGOTTEN
    box.register.prune(box.now)
    box.hear(track(2, heard=5))
    assert box.agent().number == 5
    box.store(1)
    assert box.give(1) == 6
    assert box.hear(track(3, heard=5)) == []
    assert box.has() == {1: Place.GIVEN}


def test_the_last_word_of_an_agent(box: Box) -> None:
    box.hear(track(1))
    box.store(1, 2)
    box.give(2)
    missing = box.hear(track(2, presence=Presence.GONE))
    assert sorted(missing) == [(1, 1), (2, 1)]  # it holds nothing, so they never arrived
    assert box.register.get("a1") is None
    assert box.register.slots == 0


def test_the_last_word_of_one_that_is_done(box: Box) -> None:
    box.hear(track(1))
    box.store(1)
    number = box.give(1)
    box.hear(track(2, (1, True), heard=number))
    assert box.hear(track(3, presence=Presence.GONE, heard=number)) == []
    assert list(box.tracker) == []


def test_the_last_word_names_each_unit_once(box: Box) -> None:
    box.hear(track(1))
    box.store(1)
    box.give(1)
    assert box.hear(track(2, presence=Presence.GONE, session=2)) == [(1, 1)]


def test_a_draining_agent_gets_nothing_new(box: Box) -> None:
    box.hear(track(1, (1, True), presence=Presence.DRAINING))
    assert box.free() == {}
    assert box.has() == {1: Place.RUNNING}


# ---- workloads


def test_the_first_agent_says_what_the_box_offers(box: Box) -> None:
    assert box.register.workloads == []
    box.hear(track(1, workloads=["w", "coinflip"]))
    assert box.register.workloads == ["coinflip", "w"]
    box.hear(track(1, agent="a2", workloads=["coinflip", "more", "w"]))
    assert box.register.workloads == ["coinflip", "w"]
    assert box.free() == {"a1": 4, "a2": 4}


def test_an_agent_that_offers_less_is_refused_until_it_offers_it(box: Box) -> None:
    box.hear(track(1))
    box.hear(track(1, agent="a2", workloads=["coinflip"]))
    assert box.agent("a2").standing is Standing.REFUSED
    assert box.free() == {"a1": 4}
    assert box.register.slots == 4
    box.hear(track(2, agent="a2"))
    assert box.agent("a2").standing is Standing.WELCOME
    assert box.register.slots == 8


def test_a_refused_agent_is_the_first_one_when_the_others_have_gone(box: Box) -> None:
    box.hear(track(1))
    box.hear(track(1, agent="a2", workloads=["coinflip"]))
    box.hear(track(2, presence=Presence.GONE))
    box.hear(track(2, agent="a2", workloads=["coinflip"]))
    assert box.register.workloads == ["coinflip"]
    assert box.free() == {"a2": 4}


def test_what_a_refused_agent_runs_is_vouched_for(box: Box) -> None:
    box.hear(track(1))
    box.hear(track(1, (7, True), agent="a2", workloads=["coinflip"]))
    assert box.has("a2") == {7: Place.RUNNING}


# ---- takeover, and another ledger


def test_a_new_leader_adopts_what_agents_say(box: Box) -> None:
    assert box.hear(track(9, (1, True), (2, False), leader="l0", heard=4)) == []
    assert box.has() == {1: Place.RUNNING, 2: Place.GIVEN}
    assert (box.tracker.queued, box.tracker.running) == (1, 1)
    # The old leader handed out one more, which arrives late.
    assert box.hear(track(10, (1, True), (2, True), (3, False), leader="l0", heard=5)) == []
    assert box.has() == {1: Place.RUNNING, 2: Place.RUNNING, 3: Place.GIVEN}


def test_a_unit_that_two_agents_name_is_the_last_one_s(box: Box) -> None:
    box.hear(track(1, (1, False)))
    box.hear(track(1, (1, True), agent="a2"))
    assert (box.has(), box.has("a2")) == ({}, {1: Place.RUNNING})


@pytest.mark.parametrize(("ledger", "heard"), [("d0", {}), ("", {1: Place.RUNNING})])
def test_units_of_another_ledger_are_not_taken_for_this_one_s(
    box: Box, ledger: str, heard: dict[int, Place]
) -> None:
    assert box.hear(track(1, (1, True), ledger=ledger)) == []
    assert box.has() == heard


def test_agents_as_reports_show_them(box: Box) -> None:
    box.hear(track(1, (1, True)))
    box.now += 1.23456
    (state,) = box.register.states(box.now)
    assert (state.agent, state.name, state.host, state.presence) == (
        "a1",
        "the a1",
        "h",
        Presence.READY,
    )
    assert (state.slots, state.busy, state.silent) == (4, 1, 1.235)
