"""HTTP as no honest client speaks it, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import task
from web_support import Web, parse

from rtb.api.web import channel


def request(line: bytes = b"GET / HTTP/1.1", *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([line, *headers, b"Connection: close", b"", body])


HOST = b"Host: localhost"
POST = b"POST /go/ HTTP/1.1"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:80",
        "rtb-boa:8080",
        ":8080",
    ],
)
@pytest_twisted.ensureDeferred
async def test_own_names_are_answered(web: Web, host: str) -> None:
    assert (await web.raw(request(b"GET / HTTP/1.1", b"Host: " + host.encode()))).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "[::2]"]
)
@pytest_twisted.ensureDeferred
async def test_a_strange_host_is_421(web: Web, make_web: Any, host: str) -> None:
    for line in (b"GET /go HTTP/1.1", b"GET / HTTP/1.1", b"GET /livez HTTP/1.0"):
        said = await web.raw(request(line, b"Host: " + host.encode()))
        assert said.is_problem(421)
        assert "location" not in said.headers
    assert web.desk.asked == []
    trusting = make_web(RTB_TRUSTED_NETWORK="1")
    assert (await trusting.raw(request(b"GET / HTTP/1.1", b"Host: " + host.encode()))).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b"Host: localhost", b"Host: localhost"],
        [b"Host: "],
        [b"Host: a b"],
        [b"Host: :"],
        [b"Host: :x"],
        [b"Host: a..\xff"],
        [b"Host: localhost:80:80"],
        [b"Host: http://localhost"],
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_proper_host_is_400(make_web: Any, headers: list[bytes]) -> None:
    for web in (make_web(), make_web(RTB_TRUSTED_NETWORK="1")):
        assert (await web.raw(request(b"GET / HTTP/1.1", *headers))).is_problem(400)
        assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_http_1_0_needs_no_host(web: Web) -> None:
    assert (await web.raw(request(b"GET / HTTP/1.0"))).status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(b"NONSENSE"), 400),
        (request(b"GET / HTTP/9.9", HOST), 400),
        (request(b"GET / HTTP/1.1", HOST, b"bad header"), 400),
        (request(b"GET / HTTP/1.1", b"bad header", HOST, HOST, HOST), 400),
        (request(POST, HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
        (request(POST, HOST, b"Content-Length: -1"), 400),
        (request(POST, HOST, b"Transfer-Encoding: chunked", body=b"zz\r\n"), 400),
        (request(b"GET http://localhost/ HTTP/1.1", HOST), 400),
        (request(b"OPTIONS * HTTP/1.1", HOST), 400),
        (request(b"GET /" + b"x" * 4096 + b" HTTP/1.1", HOST), 414),
        (request(b"GET /" + b"x" * 20000 + b" HTTP/1.1", HOST), 414),
        (request(b"GET / HTTP/1.1", HOST, b"X: " + b"x" * 17000), 431),
        (request(b"GET / HTTP/1.1", HOST, *[b"X: " + b"x" * 2000] * 9), 431),
        (request(b"GET / HTTP/1.1", HOST, *[b"X: y"] * 100), 431),
        (request(POST, HOST, b"Content-Length: 65537"), 413),
        (request(b"POST /orders HTTP/1.1", HOST, b"Content-Length: 5242881"), 413),
        (request(b"POST /orders HTTP/1.1", HOST, b"Content-Length: 99999999999999"), 413),
    ],
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_what_is_wrong_or_too_long_is_refused_at_the_headers(
    web: Web, sent: bytes, status: int
) -> None:
    said = await web.raw(sent)
    assert said.is_problem(status)
    assert said.headers["connection"] == "close"
    assert said.headers["content-length"] == str(len(said.body))
    assert said.headers["x-content-type-options"] == "nosniff"
    assert "server" not in said.headers
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_the_longest_of_everything_is_taken(web: Web) -> None:
    url = b"GET /livez?" + b"x" * 4085 + b" HTTP/1.1"
    assert (await web.raw(request(url, HOST, *[b"X: " + b"y" * 100] * 97))).status == 200
    body = b'{"units":["a"]}'.ljust(channel.ORDER_BYTES)
    headers = {"Content-Type": "application/json"}
    assert (await web.ask("POST", "/orders", data=body, headers=headers)).status == 201


def chunks(size: int, count: int) -> bytes:
    return b"".join([b"%x\r\n%s\r\n" % (size, b"x" * size)] * count)


@pytest_twisted.ensureDeferred
async def test_a_body_is_cut_while_it_streams(web: Web) -> None:
    connection = await web.connect()
    head = request(b"POST /orders HTTP/1.1", HOST, b"Transfer-Encoding: chunked")
    connection.transport.write(head + chunks(2**20, 6) + b"0\r\n\r\n")
    # All of it is sent and still the answer arrives, since the server reads on.
    assert parse(await connection.ended).is_problem(413)
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_a_client_that_never_stops_is_cut_off(web: Web) -> None:
    connection = await web.connect()
    head = request(b"POST /orders HTTP/1.1", HOST, b"Content-Length: 300000000")
    connection.transport.write(head)

    def send() -> None:
        connection.transport.write(b"x" * 2**20)

    sending = task.LoopingCall(send)
    sending.clock = web.reactor
    done = sending.start(0)
    assert parse(await connection.ended).is_problem(413)
    sending.stop()
    await done


@pytest_twisted.ensureDeferred
async def test_expectations_are_met_only_for_what_is_taken(web: Web) -> None:
    headers = [HOST, b"Expect: 100-continue", b"Content-Type: application/json"]
    refused = await web.raw(
        request(b"POST /orders HTTP/1.1", *headers, b"Content-Length: 300000000")
    )
    assert refused.is_problem(413)
    body = b'{"units":["a"]}'
    length = b"Content-Length: %d" % len(body)
    taken = await web.raw(request(b"POST /orders HTTP/1.1", *headers, length, body=body))
    assert taken.status == 100
    assert parse(taken.body).status == 201


@pytest.mark.parametrize(
    ("constant", "sent"),
    [
        ("_HEADERS_SECONDS", b"GET / HTTP/1.1\r\nHost: loc"),
        ("_HEADERS_SECONDS", b"G"),
        ("_BODY_SECONDS", b"POST /go/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_who_takes_for_ever_is_408(
    web: Web, monkeypatch: pytest.MonkeyPatch, constant: str, sent: bytes
) -> None:
    monkeypatch.setattr(channel, constant, 0.3)
    connection = await web.connect()
    connection.transport.write(sent)

    def drip() -> None:
        connection.transport.write(b"x")

    dripping = task.LoopingCall(drip)
    dripping.clock = web.reactor
    done = dripping.start(0.1)
    assert parse(await connection.ended).is_problem(408)
    dripping.stop()
    await done
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_requests_follow_one_another_on_a_connection(web: Web) -> None:
    connection = await web.connect()
    one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    post = b"POST /go/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    connection.transport.write(one + post + one + request(b"GET /livez HTTP/1.1", HOST))
    answers = await connection.ended
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert web.desk.asked == [("set_going", True)]
