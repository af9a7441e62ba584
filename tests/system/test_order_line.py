"""Orders on a real API: streamed in, held, cancelled, retried, capped."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_twisted
from line_support import Line, order
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent

NDJSON = "application/x-ndjson"


async def post(line: Line, path: str, body: bytes | None = None, **headers: str) -> Any:
    """Return the status and the JSON of the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("Content-Type", "application/json")
    url = f"http://127.0.0.1:{line.port}{path}"
    response = await HTTPClient(Agent(line.reactor)).request(
        "POST", url, data=body or b"", headers=named
    )
    return response.code, json.loads(await response.content())


async def get(line: Line, path: str) -> Any:
    response = await HTTPClient(Agent(line.reactor)).request(
        "GET", f"http://127.0.0.1:{line.port}{path}"
    )
    return json.loads(await response.content())


async def placed(line: Line, body: bytes, kind: str = "text/plain", query: str = "") -> Any:
    return await post(line, f"/orders{query}", body, Content_Type=kind)


async def until_nothing(line: Line) -> None:
    await until(
        line, "SELECT 1 WHERE NOT EXISTS (SELECT FROM orders) AND NOT EXISTS (SELECT FROM units)"
    )


async def until(line: Line, query: str) -> None:
    """Wait until the ledger has a row for *query*."""
    for _ in range(1200):
        if line.sql(query):
            return
        await deferLater(line.reactor, 0.05, lambda: None)
    raise AssertionError(f"never: {query}\n{line.logs()}")


def _lines(count: int) -> bytes:
    return b"".join(b"u%d\n" % n for n in range(count))


class Sender(Protocol):
    """Sends a body bit by bit, and keeps the answer."""

    def __init__(self) -> None:
        self.received = b""
        self.ended: Deferred[bytes] = Deferred()

    def begin(self, query: str = "", kind: str = "text/plain", **headers: str) -> None:
        head = {"Host": "localhost", "Content-Type": kind, "Transfer-Encoding": "chunked"}
        lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in (head | headers).items())
        self.transport.write(f"POST /orders{query} HTTP/1.1\r\n{lines}\r\n".encode())

    def send(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        self.transport.write(b"0\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.ended.callback(self.received)


async def sender(line: Line) -> Sender:
    endpoint = TCP4ClientEndpoint(line.reactor, "127.0.0.1", line.port)
    made: Sender = await connectProtocol(endpoint, Sender())
    return made


@pytest.fixture
def api(line: Line) -> Line:
    line.start("rtb-api")
    return line


async def up(line: Line) -> Line:
    await line.until(lambda summary: True)
    return line


@pytest_twisted.ensureDeferred
async def test_streams_of_every_form_become_units(api: Line) -> None:
    await up(api)
    assert await placed(api, b"a\r\nb\n\nc") == (201, {**_answer(1, 3)})
    lines = b'"x"\n{"name": "y", "payload": {"k": [1.50, "\xc3\xa9"]}}\n\n{"payload": 7}\n'
    assert (await placed(api, lines, NDJSON))[1]["units"] == 3
    table = b'name,path,note\nr,/data/r,"a ""b"", c\nd"\n,/data/s,\n'
    assert (await placed(api, table, "text/csv"))[1]["units"] == 2
    table = b'payload,name\n"{""k"": 1}",t\n'
    assert (await placed(api, table, "text/csv"))[1]["units"] == 1
    rows = api.sql("SELECT order_id, name, payload::text FROM units ORDER BY id")
    assert rows == [
        (1, "a", None), (1, "b", None), (1, "c", None),
        (2, "x", None), (2, "y", '{"k": [1.50, "é"]}'), (2, "#4", "7"),
        (3, "r", '{"path": "/data/r", "note": "a \\"b\\", c\\nd"}'),
        (3, "#4", '{"path": "/data/s", "note": ""}'),
        (4, "t", '{"k": 1}'),
    ]  # fmt: skip
    assert (await api.client.status()).units.waiting == 9
    api.check()


def _answer(order: int, units: int) -> dict[str, Any]:
    return {"id": order, "units": units, "going": False, "hint": _Anything()}


class _Anything:
    def __eq__(self, other: object) -> bool:
        return True


_BROKEN_CSV = b"name,path\n" + b"".join(b"s%d,/p\n" % n for n in range(2, 900_000))


BAD = [
    ("text/plain", b"a\nb\na\n", 3, "line 1 has the same name"),
    ("text/plain", b"a\nb\0\n", 2, "NUL"),
    ("text/plain", b"a\n\xff\n", 2, "UTF-8"),
    ("text/plain", b"ok\n" + b"n" * 10_000_000, 2, "a line has at most"),
    ("text/plain", b"ok\n" + b"n" * 256 + b"\n", 2, "255"),
    (NDJSON, b'{"name": "a"}\n{"name": "b", "name": "c"}\n', 2, "twice"),
    (NDJSON, b'{"name": "a"}\n{"payload": 9223372036854775808}\n', 2, "64 bits"),
    (NDJSON, b'"a"\n"b\\u0000"\n', 2, "NUL"),
    (NDJSON, b'"a"\n{"payload": NaN}\n', 2, "NaN"),
    (NDJSON, b'"a"\n[1]\n', 2, "a unit is"),
    (NDJSON, b'"a"\n{"nme": "b"}\n', 2, "nme"),
    (NDJSON, b'"a"\n{"payload": "' + b"x" * 65536 + b'"}\n', 2, "65536"),
    (NDJSON, b'"a"\n{"payload": ' + b"[" * 21 + b"]" * 21 + b"}\n", 2, "deep"),
    ("text/csv", b"name,name\na,b\n", 1, "twice"),
    ("text/csv", b"name,path\na\n", 2, "fields"),
    ("text/csv", b'name,path\na,b"c\n"d",e\n', 2, "quote"),
    ("text/csv", _BROKEN_CSV + b'"x,/p\n' + b"y%d,/p\n" * 100_000, 900_000, "never closed"),
]


@pytest_twisted.ensureDeferred
async def test_a_bad_line_is_named_and_nothing_is_placed(api: Line) -> None:
    await up(api)
    for kind, body, number, reason in BAD:
        status, said = await placed(api, body, kind)
        assert status == 422, said
        assert said["errors"][0]["line"] == number, said
        assert reason in said["errors"][0]["reason"], said
    assert (await api.client.orders())["orders"] == []
    assert (await api.client.status()).units.total == 0
    await until_nothing(api)
    api.check()


@pytest_twisted.ensureDeferred
async def test_bad_lines_are_left_out_where_that_is_wanted(api: Line) -> None:
    await up(api)
    lines = [f"u{n}" for n in range(150)] + ["u7"] * 120 + ["last"]
    status, said = await placed(api, "\n".join(lines).encode(), query="?atomic=false")
    assert (status, said["units"], said["refused"], len(said["errors"])) == (201, 151, 120, 100)
    assert said["errors"][0] == {"line": 151, "reason": "line 8 has the same name"}
    status, said = await placed(api, b"\xc3\xa9\n" + b"n" * 300, query="?atomic=false")
    assert (status, said["units"], said["refused"]) == (201, 1, 1)
    status, said = await placed(api, b"n" * 300, query="?atomic=false")
    assert status == 422  # not a single unit
    status, said = await placed(api, b"")
    assert status == 422
    assert (await api.client.status()).units.total == 152


@pytest_twisted.ensureDeferred
async def test_a_key_places_once(api: Line) -> None:
    await up(api)
    first = await post(api, "/orders", b"a\nb", Content_Type="text/plain", Idempotency_Key="k")
    assert first[0] == 201
    again = await post(api, "/orders", b"a\nb", Content_Type="text/plain", Idempotency_Key="k")
    assert again == first
    for body, kind in ((b"a\nc", "text/plain"), (b'{"units": ["a", "b"]}', "application/json")):
        other = await post(api, "/orders", body, Content_Type=kind, Idempotency_Key="k")
        assert other[0] == 422, other
    body = b'{"units": ["a"]}'
    first = await post(api, "/orders", body, Idempotency_Key="j")
    assert first == await post(api, "/orders", body, Idempotency_Key="j")
    # While it is being placed, it is a conflict, in either form; an aborted one frees the key.
    slow = await sender(api)
    slow.begin(Idempotency_Key="s")
    slow.send(_lines(50_000))
    await until(api, "SELECT 1 FROM units WHERE name = 'u20000'")
    for kind in ("text/plain", "application/json"):
        said = await post(api, "/orders", body, Content_Type=kind, Idempotency_Key="s")
        assert said[0] == 409, said
    slow.transport.abortConnection()
    await slow.ended
    await until(api, "SELECT 1 WHERE NOT EXISTS (SELECT FROM orders WHERE state <> 'open')")
    assert (await post(api, "/orders", body, Idempotency_Key="s"))[0] == 201
    assert (await api.client.status()).units.total == 4


@pytest_twisted.ensureDeferred
async def test_an_upload_that_is_cut_leaves_nothing(api: Line) -> None:
    await up(api)
    cut = await sender(api)
    cut.begin()
    cut.send(_lines(100_000))
    await until(api, "SELECT 1 FROM units LIMIT 1")
    assert (await api.client.status()).units.total == 0
    loading = (await get(api, "/orders?loading=true"))["orders"]
    assert loading[0]["state"] == "loading"
    assert loading[0]["units"]["waiting"] > 0
    assert (await get(api, f"/orders/{loading[0]['id']}/forecast"))["code"] == "LOADING"
    cut.transport.abortConnection()
    await cut.ended
    await until_nothing(api)
    api.check()


@pytest_twisted.ensureDeferred
async def test_what_a_killed_api_was_loading_is_discarded(api: Line) -> None:
    await up(api)
    cut = await sender(api)
    cut.begin()
    cut.send(_lines(100_000))
    await until(api, "SELECT 1 FROM units LIMIT 1")
    await api.roles[0].end(9)
    await cut.ended
    api.start("rtb-api")
    await until_nothing(api)


@pytest_twisted.ensureDeferred
async def test_an_order_is_cancelled_while_it_loads(api: Line) -> None:
    await up(api)
    slow = await sender(api)
    slow.begin(Connection="close")
    slow.send(_lines(100_000))
    await until(api, "SELECT 1 FROM units LIMIT 1")
    ((loading,),) = api.sql("SELECT id FROM orders")
    assert (await post(api, f"/orders/{loading}/hold"))[0] == 409
    status, said = await post(api, f"/orders/{loading}/cancel")
    assert (status, said["id"]) == (202, loading)
    slow.send(b"".join(b"v%d\n" % n for n in range(100_000)))
    assert b" 409 Conflict" in (await slow.ended).partition(b"\r\n")[0]
    await until_nothing(api)
    api.check()


@pytest_twisted.ensureDeferred
async def test_accounts_are_known_and_have_a_cap(line: Line) -> None:
    line.start("rtb-api", ACCOUNTS="closed")
    await up(line)
    body = b'{"units": ["a", "b"], "account": "ann"}'
    assert (await post(line, "/orders", body))[0] == 404
    assert (await placed(line, b"a", query="?account=ann"))[0] == 404
    assert (await post(line, "/accounts/ann", b'{"weight": 2, "cap": 3}'))[0] == 200
    assert (await post(line, "/orders", body))[0] == 201
    for status, said in (
        await post(line, "/orders", body),
        await placed(line, b"a\nb", query="?account=ann"),
    ):
        assert (status, said["code"], said["remaining"]) == (429, "CAP", 1)
    assert (await placed(line, b"a", query="?account=ann"))[0] == 201
    fair = (await get(line, "/fair"))["accounts"]
    assert (fair[0]["account"], fair[0]["cap"], fair[0]["waiting"]) == ("ann", 3, 3)


@pytest_twisted.ensureDeferred
async def test_verbs_on_a_line_that_runs(line: Line) -> None:
    line.start("rtb-api")
    line.start("rtb-leader", BROADCAST_MAX_QUEUE="20")
    line.start("rtb-agent", AGENT_SLOTS="4", WORKLOADS="default=coinflip:error=0,seconds=3600")
    await line.until_led()
    await line.client.go()
    endless = (await line.client.place(order(6_000, name="endless")))["id"]
    await line.until(lambda summary: summary.units.processing == 4)
    held = (await line.client.place(order(10, account="bob")))["id"]
    assert (await get(line, f"/orders/{held}/forecast"))["code"] == "WINDOW"
    status, said = await post(line, f"/orders/{held}/hold", b'{"why": "clouds"}')
    assert (status, said["units"]) == (202, 10)
    assert (await get(line, f"/orders/{held}/forecast"))["code"] == "HELD"
    assert (await get(line, f"/orders/{held}"))["held_why"] == "clouds"
    # Its running units are told at once, and end; the places are free for others.
    status, said = await post(line, f"/orders/{endless}/cancel", b'{"why": "no more"}')
    assert (status, said["units"]) == (202, 6_000)
    summary = await line.until(lambda summary: summary.units.cancelled == 6_000)
    assert summary.units.waiting == 10
    await line.until(lambda summary: summary.leaders[0].busy == 0)
    assert (await get(line, f"/orders/{endless}"))["status"] == "cancelled"
    assert (await get(line, f"/orders/{endless}/forecast"))["code"] == "DONE"
    assert line.sql("SELECT * FROM flights") == []
    assert (await post(line, f"/orders/{held}/release"))[0] == 202
    await line.until(lambda summary: summary.units.processing == 4)
    status, said = await post(
        line, f"/orders/{endless}/units/retry", b'{"status": "cancelled", "prefix": "scene-59"}'
    )
    assert (status, said["units"]) == (200, 111)
    body = b'{"status": "cancelled", "prefix": "scene-59", "expect_count": 111}'
    assert (await post(line, f"/orders/{endless}/units/retry", body))[0] == 202
    await line.until(lambda summary: summary.units.cancelled == 6_000 - 111)
    ((unit,),) = line.sql(f"SELECT max(id) FROM units WHERE order_id = {endless} AND round = 2")
    assert (await line.client.unit(unit))["waits"]["code"] in ("ORDER", "WINDOW")
    await post(line, f"/orders/{endless}/cancel")
    await post(line, f"/orders/{held}/cancel")
    await line.until_settled(6_010)
    line.check()


@pytest_twisted.ensureDeferred
async def test_what_has_to_follow_does_so_after_a_kill_and_orders_wake(line: Line) -> None:
    api = line.start("rtb-api")
    await up(line)
    big = (await placed(line, _lines(60_000)))[1]["id"]
    assert (await post(line, f"/orders/{big}/cancel"))[0] == 202
    await api.end(9)
    line.start("rtb-api")
    await line.until(lambda summary: summary.units.cancelled == 60_000)
    body = {"units": ["a"], "not_before": "2999-01-01T00:00:00+02:00", "labels": {"tile": "1"}}
    later = (await line.client.place(body))["id"]
    found = await get(line, "/orders?label=tile:1")
    assert [(o["id"], o["not_before"]) for o in found["orders"]] == [
        (later, "2998-12-31T22:00:00.000Z")
    ]
    assert (await get(line, f"/orders/{later}/forecast"))["code"] == "NOT_BEFORE"
    assert (await line.client.next())["units"] == []
    for text in ("2030-01-01T00:00:00", "tomorrow", "2030-02-30T00:00:00Z"):
        status, said = await post(
            line, "/orders", json.dumps({"units": ["a"], "not_before": text}).encode()
        )
        assert (status, said["pointer"]) == (422, "/not_before")
    line.sql(f"UPDATE orders SET not_before = now() + interval '0.3 s' WHERE id = {later}")
    # One whose time has come long ago: whoever places looks when the next one is due.
    await line.client.place({"units": ["b"], "not_before": "2020-01-01T00:00:00Z"})
    line.start("rtb-leader")
    line.start("rtb-agent")
    await line.until_led()
    await line.client.go()
    await line.until_settled(60_002)
    line.check()
