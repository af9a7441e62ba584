"""Units that may have been given up while nobody led, or while the leader stood still."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from rtb.broker.messages import Delivery, Outgoing
from rtb.leader.doubt import Doubt
from rtb.leader.letters import Letters
from rtb.leader.reign import Reign
from rtb.leader.staff import Staff
from rtb.model.pace import Pace
from rtb.model.tracker import Tracker
from rtb.model.wire import (
    Control,
    Message,
    Out,
    Presence,
    Report,
    Track,
    Unit,
    UnitKey,
    Work,
    decode,
    encode,
)


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
    assert doubt.undoubted([(1, 1), (2, 1)]) == [(1, 1)]
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


class _Client:
    """Confirms at once whatever is published, and keeps it."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def publish(self, message: Outgoing) -> Deferred[None]:
        self.said.append(decode(message.routing_key, message.body))
        return succeed(None)

    publish_surely = publish

    def given(self) -> list[int]:
        works = (message for message in self.said if isinstance(message, Work))
        return [given.unit for work in works for given in work.give]

    def asked(self) -> list[int]:
        """Return the numbers of the reports that ask."""
        return [said.number for said in self.said if isinstance(said, Report) and said.asks]


class _Session:
    arrived: Any

    async def consume(self, queue: str, received: Any, *, prefetch: int) -> None:
        self.arrived = received


def test_a_leader_that_stood_still_asks_before_it_hands_out() -> None:
    clock, client, session, numbers = Clock(), _Client(), _Session(), count(1)
    broker: Any = client
    life: Any = session
    reign = Reign(
        clock, broker, life, box="outbox", leader="me", capacity=10, pace=Pace(10.0), staff=Staff()
    )

    def comes(key: str, message: Message) -> Delivery:
        consumer: Any = _Consumer()
        return Delivery(key, encode(message), False, "", {}, consumer, next(numbers))

    def out(*units: int) -> None:
        message = Out(ledger="x", box="outbox", leader="me", units=[unit(n) for n in units])
        session.arrived(comes("out.outbox", message))

    def control(answered: list[int], *closed: UnitKey) -> None:
        message = Control(
            ledger="x", box="outbox", leader="me", going=True, backlog={}, weights={},
            closed=list(closed), draining=[], answered=answered,
        )  # fmt: skip
        reign.controlled(comes("control.outbox", message))

    def agent_is_there() -> None:
        message = Track(
            ledger="x", box="outbox", agent="a", name="a", host="h", pid=1, leader="me",
            presence=Presence.READY, seq=next(numbers), session=1, heard=0, slots=8,
            workloads=["w"], holding=[],
        )  # fmt: skip
        reign.tracked(comes("track.outbox", message))

    failures: list[Failure] = []
    Deferred.fromCoroutine(reign.begin()).addErrback(failures.append)
    control([])
    clock.advance(2.0)
    out(1, 2)
    assert (client.given(), client.asked(), failures) == ([], [], [])
    # It stands still for 40 s; when it goes on, messages are read first and timers run later.
    clock.rightNow += 40.0
    agent_is_there()
    out(3, 4)
    assert client.given() == []
    assert client.asked()
    control(client.asked(), (1, 1), (3, 1))
    assert client.given() == [2, 4]
    clock.advance(11.0)
    agent_is_there()
    out(5)
    assert client.given() == [2, 4, 5], "nothing is in doubt any more"
    reign.end()
