"""A box whose leader never comes back, with epochs of a tenth of their usual length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from rtb.chaos.evidence import read_executions
from rtb.chaos.outsider import Outsider
from rtb.chaos.slot import Slot
from rtb.chaos.system import Shape, System
from rtb.client import Client, ClientError
from rtb.errors import RtbError
from rtb.settings import Broker, Database

ensure = pytest_twisted.ensureDeferred


class Place:
    """A system, and whoever looks at it."""

    def __init__(self, reactor: Any, database: Database, vhost: Broker, place: Path) -> None:
        self.reactor, self.broker = reactor, vhost
        self.outsider = Outsider(database, vhost)
        self.shape = Shape()
        self._make = lambda shape: System(reactor, place, database, vhost, shape)

    async def start(self, shape: Shape, **failpoints: str) -> None:
        self.system = self._make(shape)
        await self.system.prepare()
        for slot in self.system.slots:
            slot.failpoint = lambda slot: failpoints.get(slot.kind, "")
        self.system.start()
        self.client = Client(f"http://127.0.0.1:{self.system.ports['api-0']}", self.reactor)
        await self.until(lambda s: len([x for x in s.leaders if x.slots]) == len(shape.leaders))

    async def until(self, what: Any, limit: float = 180.0) -> Any:
        end = self.reactor.seconds() + limit
        while self.reactor.seconds() < end:
            try:
                summary = await self.client.status()
            except (RtbError, ClientError):
                summary = None
            if summary is not None and what(summary):
                return summary
            await self.pause(0.1)
        raise AssertionError("it never came")

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self.reactor, seconds, lambda: None)

    def slot(self, name: str) -> Slot:
        return self.system.slot(name)

    def starts(self) -> list[tuple[int, int]]:
        lines = read_executions(self.system.executions.read_text().splitlines())
        return [(line.unit, line.attempt) for line in lines if line.word == "start"]


@pytest.fixture
def place(reactor: Any, database: Database, vhost: Broker, tmp_path: Path) -> Iterator[Place]:
    place = Place(reactor, database, vhost, tmp_path)
    yield place
    blockon(Deferred.fromCoroutine(place.client.close()))
    blockon(Deferred.fromCoroutine(place.system.close()))


@ensure
async def test_a_box_whose_leader_is_gone_for_good(place: Place) -> None:
    boxes = {"outbox": 1, "second": 1}
    await place.start(Shape(apis=1, leaders=boxes, agents=boxes))
    payload = {"seconds": 0.4, "end": "success"}
    await place.client.place({"units": [{"payload": payload} for _ in range(80)]})
    await place.client.go()
    await place.until(lambda summary: summary.units.settled > 5)
    place.slot("leader-outbox-0").retire()
    await place.until(lambda summary: summary.units.success == 80)
    rescued = "SELECT max(id) FROM history WHERE kind = 'rescued'"
    claimed = "SELECT count(*) FROM history WHERE kind = 'claimed' AND who = 'outbox'"
    assert place.outsider.sql(f"{claimed} AND id > ({rescued})") == [(0,)]
    assert place.outsider.sql(f"SELECT ({rescued}) IS NOT NULL") == [(True,)]


@ensure
async def test_a_leader_whose_first_words_or_their_answer_are_lost(place: Place) -> None:
    shape = Shape(apis=1, leaders={"outbox": 1}, agents={"outbox": 1})
    await place.start(shape, leader="lost-report", api="lost-control")
    for name, lost in (("leader-outbox-0", "lost-report"), ("api-0", "lost-control")):
        assert f"failpoint {lost}: a message is lost" in place.slot(name).log.read_text()
