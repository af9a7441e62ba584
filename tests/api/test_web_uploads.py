"""Orders that come as a stream, as far as the web goes: pieces, pauses, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from web_support import Web, parse

from rtb.ledger import RefusedError
from rtb.model.lines import BadLinesError, Fault
from rtb.model.orders import NewOrder

_HEAD = (
    b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 20000000\r\n\r\n"
)


@pytest.mark.parametrize("kind", ["text/plain", "text/csv", "application/x-ndjson; charset=UTF-8"])
@pytest_twisted.ensureDeferred
async def test_a_streamed_order_is_passed_on(web: Web, kind: str) -> None:
    path = "/orders?account=ann&label=sensor:oli&label=tile:1&priority=-3&atomic=false&name=x%20y"
    headers = {"Content-Type": kind, "Idempotency-Key": "k 1"}
    said = await web.ask("POST", path, data=b"a\nb\nc\n", headers=headers)
    assert (said.status, said.headers["location"], said.json["units"]) == (201, "/orders/8", 3)
    order = NewOrder(
        account="ann", name="x y", priority=-3, labels={"sensor": "oli", "tile": "1"}, units=[]
    )
    assert web.desk.asked == [("load", order, kind.split(";")[0], False, "k 1")]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/orders?priority=x", {}, 422),
        ("/orders?priority=9223372036854775808", {}, 422),
        ("/orders?nonsense=1", {}, 400),
        ("/orders?account=a&account=b", {}, 400),
        ("/orders?account=%00", {}, 422),
        ("/orders?label=colour", {}, 400),
        ("/orders?not_before=2030-01-01T00:00:00", {}, 422),
        ("/orders?atomic=perhaps", {}, 400),
        ("/orders", {"Origin": "https://elsewhere.example"}, 403),
        ("/orders", {"Origin": "null"}, 403),
        ("/orders", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/orders", {"Content-Encoding": "gzip"}, 415),
        ("/orders", {"Content-Type": "text/plain; charset=latin-1"}, 415),
        ("/orders", {"Host": "elsewhere.example"}, 421),
        ("/orders", {"Idempotency-Key": "x" * 256}, 400),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_the_headers_tell_is_refused_before_the_body(
    web: Web, path: str, headers: dict[str, str], status: int
) -> None:
    lines = {"Host": "localhost", "Content-Type": "text/plain", "Content-Length": "9999"} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    said = await web.raw(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())
    assert said.is_problem(status)
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_a_body_has_no_cap(web: Web) -> None:
    data = b"scene\n" * 2_000_000
    said = await web.ask("POST", "/orders", data=data, headers={"Content-Type": "text/plain"})
    assert said.json["units"] == 2_000_000


@pytest_twisted.ensureDeferred
async def test_a_sender_is_held_back_and_goes_on(web: Web) -> None:
    connection = await web.connect()
    connection.transport.write(_HEAD + b"a\n")
    load = await _load(web)
    load.hold_back(True)
    connection.transport.write(b"b\n" * 9_999_999)
    await web.ask("GET", "/livez")
    came = len(b"".join(load.pieces))
    await web.ask("GET", "/livez")
    assert len(b"".join(load.pieces)) == came < 20_000_000
    load.hold_back(False)
    while b"\r\n\r\n" not in connection.received:
        await web.ask("GET", "/livez")
    assert len(b"".join(load.pieces)) == 20_000_000
    connection.transport.loseConnection()
    assert parse(await connection.ended).status == 201


@pytest_twisted.ensureDeferred
async def test_a_bad_line_is_told_in_the_middle_of_the_body(web: Web) -> None:
    connection = await web.connect()
    connection.transport.write(_HEAD + b"a\n")
    load = await _load(web)
    load.refuse(Failure(BadLinesError([Fault(3, "no"), Fault(9, "never")])))
    said = parse(await connection.ended)
    assert said.is_problem(422)
    assert said.json["detail"] == "line 3: no"
    assert said.json["errors"] == [{"line": 3, "reason": "no"}, {"line": 9, "reason": "never"}]


@pytest_twisted.ensureDeferred
async def test_a_sender_that_goes_aborts(web: Web) -> None:
    connection = await web.connect()
    connection.transport.write(_HEAD + b"a\n")
    load = await _load(web)
    connection.transport.abortConnection()
    await load.aborted


@pytest_twisted.ensureDeferred
async def test_a_piece_has_30_s_to_come(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from rtb.api.web.channel import Channel

    clock = Clock()
    # A property, since the factory sets the attribute of each channel that it makes.
    by_clock = property(lambda channel: clock.callLater, lambda channel, given: None)
    monkeypatch.setattr(Channel, "callLater", by_clock)
    connection = await web.connect()
    connection.transport.write(_HEAD + b"a\n")
    load = await _load(web)
    clock.advance(29)
    load.arrived = Deferred()
    connection.transport.write(b"b\n")
    await load.arrived
    clock.advance(29)
    load.hold_back(True)
    clock.advance(1000)  # not the client's fault
    load.hold_back(False)
    clock.advance(29)
    assert not load.aborted.called
    clock.advance(1)
    await load.aborted
    assert parse(await connection.ended).is_problem(408)


@pytest_twisted.ensureDeferred
async def test_a_cap_is_told_with_what_remains(web: Web) -> None:
    web.desk.prepared["place"] = RefusedError("too many", "RT429", '{"cap": 10, "remaining": 4}')
    said = await web.ask("POST", "/orders", json={"units": ["a"]})
    assert said.is_problem(429)
    assert (said.json["code"], said.json["remaining"], said.json["cap"]) == ("CAP", 4, 10)
    assert int(said.headers["retry-after"]) > 0


@pytest_twisted.ensureDeferred
async def test_a_key_and_its_body_make_a_fingerprint(web: Web) -> None:
    for names in (["a"], ["a"], ["b"]):
        await web.ask("POST", "/orders", json={"units": names}, headers={"Idempotency-Key": "k"})
    (first, same, other) = web.desk.keys
    assert first == same != other
    assert {key for key, _ in web.desk.keys} == {"k"}


async def _load(web: Web) -> Any:
    while not web.desk.loads:
        await web.ask("GET", "/livez")
    await web.desk.loads[-1].arrived
    return web.desk.loads[-1]
