"""Units in a stream: every one on a line, at the reader's pace, and cut where it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.web.client import ResponseFailed
from web_support import NDJSON, AwayError, Raw, Web


@pytest_twisted.ensureDeferred
async def test_a_stream_has_every_unit_on_a_line(web: Web) -> None:
    web.desk.prepared |= {"order": {"id": 3}, "all_units": [[{"id": 1}, {"id": 2}], [{"id": 3}]]}
    said = await web.ask("GET", "/orders/3/units?status=success", headers=NDJSON)
    assert said.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in said.body.splitlines()] == [{"id": n} for n in (1, 2, 3)]
    assert web.desk.asked[:2] == [("order", 3), ("all_units", 3, "success")]
    assert (await web.ask("GET", "/orders/3/units?limit=1", headers=NDJSON)).is_problem(400)


@pytest_twisted.ensureDeferred
async def test_an_empty_stream_and_head(web: Web) -> None:
    web.desk.prepared |= {"order": {"id": 3}, "all_units": []}
    said = await web.ask("GET", "/orders/3/units", headers=NDJSON)
    assert (said.status, said.body) == (200, b"")
    assert said.headers["content-type"] == "application/x-ndjson"
    web.desk.asked.clear()
    head = await web.ask("HEAD", "/orders/3/units", headers=NDJSON)
    assert (head.status, head.headers["content-type"]) == (200, "application/x-ndjson")
    assert web.desk.asked == [("order", 3)]


@pytest_twisted.ensureDeferred
async def test_a_stream_that_fails_is_503_or_cut(web: Web) -> None:
    web.desk.prepared |= {"order": {"id": 3}, "all_units": [AwayError()]}
    assert (await web.ask("GET", "/orders/3/units", headers=NDJSON)).is_problem(503)
    web.desk.prepared["all_units"] = [[{"id": 1}], AwayError()]
    with pytest.raises(ResponseFailed):
        await web.ask("GET", "/orders/3/units", headers=NDJSON)


class Slow(Raw):
    def connectionMade(self) -> None:
        self.transport.pauseProducing()


@pytest_twisted.ensureDeferred
async def test_a_stream_waits_for_its_reader_and_ends_when_the_reader_is_gone(
    web: Web, reactor: Any
) -> None:
    from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol

    closed: Deferred[None] = Deferred()
    batch = [{"id": 1, "result": "x" * 100_000}] * 10
    web.desk.prepared |= {"order": {"id": 3}, "all_units": [batch] * 200, "closed": closed}
    reader = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", web.port), Slow())
    reader.transport.write(
        b"GET /orders/3/units HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n"
    )
    before = -1
    while before < web.desk.asked.count(("batch",)) or before < 1:
        before = web.desk.asked.count(("batch",))
        await web.ask("GET", "/livez")
        await web.ask("GET", "/livez")
    assert 1 <= before < 100
    reader.transport.abortConnection()
    await closed
    assert web.desk.asked.count(("batch",)) < 100


@pytest_twisted.ensureDeferred
async def test_a_stream_ends_only_after_its_last_fetch(web: Web) -> None:
    fetched: Deferred[Any] = Deferred()
    closed: Deferred[None] = Deferred()
    web.desk.prepared |= {
        "order": {"id": 3},
        "all_units": [[{"id": 1}], fetched],
        "closed": closed,
    }
    with pytest.raises(ResponseFailed):
        await web.ask("GET", "/orders/3/units", headers=NDJSON)
    assert ("closed",) not in web.desk.asked
    fetched.callback([{"id": 2}])
    await closed
