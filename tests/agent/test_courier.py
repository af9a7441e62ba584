from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.task import deferLater

from rtb.agent.courier import Courier
from rtb.broker import BrokerClient, Delivery, Session, shared
from rtb.broker.post import Post
from rtb.model.wire import Ended, Status, StatusKind, UnitKey, decode
from rtb.settings import Broker

LEDGER = "d1"


class Line:
    """A courier, and the inbox at the other end of the broker."""

    def __init__(self, reactor: Any, broker: Broker) -> None:
        self._reactor = reactor
        self.client = BrokerClient(
            reactor, broker, name="test", random=random.random, topology=shared()
        )
        self.confirmed: list[tuple[StatusKind, list[UnitKey]]] = []
        self.courier = Courier(
            reactor,
            self.client,
            Post("a1"),
            box="outbox",
            source="a1",
            name="the a1",
            confirmed=lambda *news: self.confirmed.append(news),
        )
        self._inbox: DeferredQueue[Delivery] = DeferredQueue()
        self._began: Deferred[None] = Deferred()

    async def start(self) -> None:
        self.client.on_session(self._session)
        self.client.startService()
        await self.client.when_ready()
        await self._began

    async def _session(self, session: Session) -> None:
        await session.consume("inbox", self._inbox.put, prefetch=100)
        if not self._began.called:
            self._began.callback(None)

    async def speaks(self, ledger: str, unit: int) -> None:
        """Let the courier begin to say that *unit* runs: what comes now is gathered."""
        self.courier.say(ledger, StatusKind.PROCESSING, Ended(unit, 1))
        await deferLater(self._reactor, 0, lambda: None)

    async def next(self) -> Status:
        """Return the next message of the inbox."""
        delivery = await self._inbox.get()
        delivery.ack()
        message = decode(delivery.routing_key, delivery.body)
        assert isinstance(message, Status)
        assert (message.box, message.source, message.name) == ("outbox", "a1", "the a1")
        return message

    async def until(self, *units: int) -> list[Status]:
        """Return the messages that come until one speaks of each of *units* for the last time."""
        messages: list[Status] = []
        waiting = set(units)
        while waiting:
            messages.append(await self.next())
            if messages[-1].kind is not StatusKind.PROCESSING:
                waiting -= {news.unit for news in messages[-1].units}
        return messages


@pytest.fixture
def line(reactor: Any, vhost: Broker) -> Iterator[Line]:
    line = Line(reactor, vhost)
    blockon(Deferred.fromCoroutine(line.start()))
    yield line
    blockon(line.client.stopService())


def said(messages: list[Status]) -> list[tuple[StatusKind, list[int]]]:
    return [(message.kind, [news.unit for news in message.units]) for message in messages]


@pytest_twisted.ensureDeferred
async def test_idle_it_speaks_at_once(line: Line) -> None:
    line.courier.say(LEDGER, StatusKind.PROCESSING, Ended(1, 1))
    message = await line.next()
    assert (message.kind, message.ledger, message.units) == (
        StatusKind.PROCESSING,
        LEDGER,
        [Ended(1, 1)],
    )
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(1, 1, 0.5, msgspec.Raw(b'{"a":1}')))
    (message,) = await line.until(1)
    assert bytes(message.units[0].result) == b'{"a":1}'
    assert line.confirmed[0] == (StatusKind.PROCESSING, [(1, 1)])


@pytest_twisted.ensureDeferred
async def test_busy_it_gathers_by_kind_and_says_starts_last(line: Line) -> None:
    await line.speaks(LEDGER, 1)
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(1, 1))
    for unit in (2, 3):
        line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(unit, 1, 0.1))
    line.courier.say(LEDGER, StatusKind.FAILED, Ended(4, 1, why="x"))
    line.courier.say(LEDGER, StatusKind.PROCESSING, Ended(5, 1))
    messages = await line.until(1, 2, 3, 4)
    assert said([*messages, await line.next()]) == [
        (StatusKind.PROCESSING, [1]),
        (StatusKind.SUCCESS, [1, 2, 3]),
        (StatusKind.FAILED, [4]),
        (StatusKind.PROCESSING, [5]),
    ]


@pytest_twisted.ensureDeferred
async def test_no_start_waits_for_the_confirm_of_an_end(line: Line, reactor: Any) -> None:
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(1, 1))
    line.courier.say(LEDGER, StatusKind.PROCESSING, Ended(2, 1))
    under_way = 0
    while not line.confirmed:
        await deferLater(reactor, 0, lambda: None)
        under_way = max(under_way, line.client.unconfirmed)
    assert under_way == 2
    assert said([await line.next(), await line.next()]) == [
        (StatusKind.SUCCESS, [1]),
        (StatusKind.PROCESSING, [2]),
    ]


@pytest_twisted.ensureDeferred
async def test_one_that_ends_before_its_start_left_says_both_in_one(line: Line) -> None:
    await line.speaks(LEDGER, 1)
    line.courier.say(LEDGER, StatusKind.PROCESSING, Ended(2, 1))
    line.courier.say(LEDGER, StatusKind.PROCESSING, Ended(3, 1))
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(2, 1, 0.25))
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(3, 2, 0.25))  # another attempt
    assert said([*await line.until(2, 3), await line.next()]) == [
        (StatusKind.PROCESSING, [1]),
        (StatusKind.SUCCESS, [2, 3]),
        (StatusKind.PROCESSING, [3]),
    ]


@pytest_twisted.ensureDeferred
async def test_every_ledger_is_spoken_of_by_itself(line: Line) -> None:
    await line.speaks("d0", 9)
    line.courier.say("d0", StatusKind.SUCCESS, Ended(1, 1))
    line.courier.say("d1", StatusKind.SUCCESS, Ended(2, 1))
    messages = await line.until(1, 2)
    assert [(message.ledger, message.units[0].unit) for message in messages] == [
        ("d0", 9),
        ("d0", 1),
        ("d1", 2),
    ]


@pytest_twisted.ensureDeferred
async def test_much_news_is_cut_into_messages(line: Line) -> None:
    await line.speaks(LEDGER, 1)
    units = range(1, 26)
    for unit in units:
        line.courier.say(LEDGER, StatusKind.FAILED, Ended(unit, 1, why="x", output="y" * 16_384))
    messages = await line.until(*units)
    assert len(messages) > 3
    assert [news.unit for message in messages[1:] for news in message.units] == list(units)


@pytest_twisted.ensureDeferred
async def test_news_is_confirmed_when_the_broker_has_it_and_not_before(line: Line) -> None:
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(1, 1))
    assert line.confirmed == []
    await line.until(1)
    line.courier.say(LEDGER, StatusKind.ERROR, Ended(2, 1, why="x"))
    await line.until(2)
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(3, 1))
    await line.until(3)
    # The third left after the second was confirmed.
    assert line.confirmed[:2] == [(StatusKind.SUCCESS, [(1, 1)]), (StatusKind.ERROR, [(2, 1)])]


@pytest_twisted.ensureDeferred
async def test_a_stop_before_the_broker_came_is_no_failure(reactor: Any, vhost: Broker) -> None:
    line = Line(reactor, vhost)
    line.client.startService()
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(1, 1))
    await line.client.stopService()
    assert line.confirmed == []


@pytest_twisted.ensureDeferred
async def test_who_has_no_more_to_say_in_this_turn_waits_for_no_other(line: Line) -> None:
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(1, 1))
    assert line.client.unconfirmed == 0
    line.courier.send()
    assert line.client.unconfirmed == 1
    line.courier.send()
    assert said([await line.next()]) == [(StatusKind.SUCCESS, [1])]


@pytest_twisted.ensureDeferred
async def test_what_ends_as_it_begins_is_one_word(line: Line) -> None:
    line.courier.say(LEDGER, StatusKind.PROCESSING, Ended(1, 1))
    line.courier.say(LEDGER, StatusKind.SUCCESS, Ended(1, 1, 0.0))
    assert said(await line.until(1)) == [(StatusKind.SUCCESS, [1])]
