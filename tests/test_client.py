"""The public client, against a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field
from pytest_twisted import blockon
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from rtb.client import ApiUnreachableError, Client, ClientError, LeaderState

SUMMARY = {
    "units": {
        "waiting": 1,
        "sent": 2,
        "queued": 3,
        "processing": 4,
        "success": 5,
        "error": 6,
        "cancelled": 7,
        "total": 28,
    },
    "going": True,
    "leaders": [
        {
            "box": "outbox",
            "state": "leading",
            "capacity": 50,
            "queued": 3,
            "utilization": 0.06,
            "agents": 1,
            "slots": 8,
            "busy": 4,
            "of a later version": 1,
        }
    ],
}


@define
class Recorder(Resource):
    """Keeps what it is asked, and gives the answer that it was told to give.

    With the code 0 it cuts the connection instead; with -1 it does not answer.
    """

    isLeaf = True
    asked: list[tuple[str, str, Any]] = field(factory=list)
    code: int = 200
    answer: bytes = b"{}"
    came: Deferred[None] = field(factory=Deferred)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def render(self, request: Request) -> bytes | int:
        content = request.content.read()
        body = json.loads(content) if content else None
        self.asked.append((request.method.decode(), request.uri.decode(), body))
        if self.code < 0:
            self.came.callback(None)
            return NOT_DONE_YET
        if self.code == 0:
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(self.code)
        return self.answer


@pytest.fixture
def api() -> Recorder:
    return Recorder()


@pytest.fixture
def client(reactor: Any, api: Recorder) -> Iterator[Client]:
    port = reactor.listenTCP(0, Site(api), interface="127.0.0.1")
    client = Client(f"http://127.0.0.1:{port.getHost().port}/", reactor)
    yield client
    blockon(Deferred.fromCoroutine(client.close()))
    blockon(maybeDeferred(port.stopListening))


@pytest_twisted.ensureDeferred
async def test_the_summary_is_typed(client: Client, api: Recorder) -> None:
    api.answer = json.dumps(SUMMARY).encode()
    summary = await client.status()
    assert summary.going
    assert (summary.units.settled, summary.units.total) == (18, 28)
    assert summary.leaders == [LeaderState("outbox", "leading", 50, 3, 0.06, 1, 8, 4)]


@pytest_twisted.ensureDeferred
async def test_each_method_asks_for_one_thing(client: Client, api: Recorder) -> None:
    order = {"account": "me", "units": ["a"]}
    await client.go()
    await client.stop()
    await client.next()
    await client.next(5)
    await client.place(order)
    await client.orders(cursor=7)
    await client.order(3)
    await client.units(3, status="error", limit=2)
    await client.unit(4)
    await client.drain("a/b")
    assert api.asked == [
        ("POST", "/go/", None),
        ("POST", "/stop/", None),
        ("GET", "/next", None),
        ("GET", "/next?limit=5", None),
        ("POST", "/orders", order),
        ("GET", "/orders?cursor=7", None),
        ("GET", "/orders/3", None),
        ("GET", "/orders/3/units?status=error&limit=2", None),
        ("GET", "/units/4", None),
        ("POST", "/agents/a%2Fb/drain", None),
    ]


@pytest_twisted.ensureDeferred
async def test_a_problem_is_an_error_with_its_words(client: Client, api: Recorder) -> None:
    api.code = 422
    api.answer = b'{"title": "Bad order", "detail": "units is empty", "pointer": "/units"}'
    with pytest.raises(ClientError, match=r"\ABad order: units is empty\Z") as caught:
        await client.place({"units": []})
    assert (caught.value.status, caught.value.title) == (422, "Bad order")


@pytest_twisted.ensureDeferred
async def test_an_answer_of_somebody_in_between_is_shown(client: Client, api: Recorder) -> None:
    api.code, api.answer = 502, b"<html>Bad gateway"
    with pytest.raises(ClientError, match="HTTP 502: <html>Bad gateway"):
        await client.status()


@pytest_twisted.ensureDeferred
async def test_an_empty_answer_is_none(client: Client, api: Recorder) -> None:
    api.code, api.answer = 202, b""
    assert await client.drain("abc") is None


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_twice(client: Client, api: Recorder) -> None:
    """The connection is one that was used before: only there a pool would try again."""
    await client.next()
    api.code = 0
    for ask in (client.next, client.go):
        with pytest.raises(ApiUnreachableError, match="no answer from http://127"):
            await ask()
        api.code = 200
        await client.next()
        api.code = 0
    assert [row[0] for row in api.asked] == ["GET", "GET", "GET", "POST", "GET"]


@pytest_twisted.ensureDeferred
async def test_a_request_can_be_cancelled(client: Client, api: Recorder) -> None:
    api.code = -1
    request = Deferred.fromCoroutine(client.status())
    await api.came
    request.cancel()
    with pytest.raises(CancelledError):
        await request


@pytest_twisted.ensureDeferred
async def test_nobody_there_is_said_so(reactor: Any) -> None:
    client = Client("http://127.0.0.1:1", reactor)
    with pytest.raises(ApiUnreachableError, match=r"no answer from http://127\.0\.0\.1:1"):
        await client.status()
    await client.close()


class Cutter(Protocol):
    """Ends the connection while it is spoken to, as a killed API does."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_one_that_ends_while_it_is_asked_is_not_there(reactor: Any) -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Cutter), interface="127.0.0.1")
    client = Client(f"http://127.0.0.1:{port.getHost().port}", reactor)
    try:
        # More than fits into the buffers on the way: the end comes amid the request.
        units = [{"name": f"{number:0200}"} for number in range(50_000)]
        with pytest.raises(ApiUnreachableError, match="no answer from"):
            await client.place({"account": "a", "units": units})
    finally:
        await client.close()
        await maybeDeferred(port.stopListening)
