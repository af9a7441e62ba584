from __future__ import annotations

import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from web_support import NDJSON, AwayError, Page, Web

from rtb.api.web import orders
from rtb.model.orders import NewOrder, NewUnit, read_order


@pytest_twisted.ensureDeferred
async def test_the_summary_is_what_the_desk_says(web: Web) -> None:
    web.desk.prepared["summary"] = {"units": {"waiting": 1, "total": 1}, "going": False}
    said = await web.ask("GET", "/")
    assert said.status == 200
    assert said.body == b'{"units":{"waiting":1,"total":1},"going":false}\n'
    assert said.headers["content-type"] == "application/json"
    assert said.headers["content-length"] == str(len(said.body))


@pytest_twisted.ensureDeferred
async def test_every_answer_has_the_security_headers_and_no_server(web: Web) -> None:
    for said in (await web.ask("GET", "/"), await web.ask("GET", "/nowhere")):
        assert "server" not in said.headers
        assert said.headers["x-content-type-options"] == "nosniff"
        assert said.headers["referrer-policy"] == "no-referrer"
        assert said.headers["x-frame-options"] == "DENY"
        assert said.headers["cross-origin-resource-policy"] == "same-origin"
        assert len(said.headers["x-request-id"]) == 16
    assert not [name for name in said.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/next", ("next_units", 20)),
        ("GET", "/next/", ("next_units", 20)),
        ("GET", "/next?limit=1000", ("next_units", 1000)),
        ("GET", "/go/", ("set_going", True)),
        ("GET", "/go", ("set_going", True)),
        ("POST", "/go", ("set_going", True)),
        ("POST", "/go/", ("set_going", True)),
        ("POST", "/stop", ("set_going", False)),
        ("POST", "/stop/", ("set_going", False)),
        ("GET", "/orders", ("orders", 100, None)),
        ("GET", "/orders/?limit=5&cursor=9", ("orders", 5, 9)),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_asked(web: Web, method: str, path: str, asked: tuple[Any, ...]) -> None:
    said = await web.ask(method, path)
    assert said.status == 200
    assert web.desk.asked == [asked]
    assert "location" not in said.headers


@pytest_twisted.ensureDeferred
async def test_pages(web: Web) -> None:
    web.desk.prepared["units"] = Page([{"id": 4}], 4)
    said = await web.ask("GET", "/orders/3/units?status=error&limit=1&cursor=2")
    assert said.json == {"units": [{"id": 4}], "cursor": "4"}
    assert web.desk.asked == [("units", 3, "error", 1, 2)]
    web.desk.prepared["orders"] = Page([{"id": 3}], None)
    assert (await web.ask("GET", "/orders")).json == {"orders": [{"id": 3}], "cursor": None}


@pytest_twisted.ensureDeferred
async def test_single_things(web: Web) -> None:
    web.desk.prepared |= {"order": {"id": 3}, "unit": {"id": 9223372036854775807}}
    assert (await web.ask("GET", "/orders/3")).json == {"id": 3}
    assert (await web.ask("GET", "/units/9223372036854775807")).json["id"] == 2**63 - 1


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/orders/4",
        "/orders/4/units",
        "/orders/0",
        "/orders/-1",
        "/orders/9223372036854775808",
        "/orders/99999999999999999999999999",
        "/orders/1e3",
        "/orders/abc",
        "/orders/%00",
        "/orders/%D9%A3",
        "/orders/1%2F2",
        "/units/01",
        "/units/7",
        "/%ff",
        "/units/",
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_is_not_there_is_404(web: Web, path: str) -> None:
    said = await web.ask("GET", path)
    assert said.is_problem(404)
    assert said.json["request"] == said.headers["x-request-id"]
    streamed = await web.ask("GET", path, headers=NDJSON)
    assert streamed.is_problem(404)


@pytest.mark.parametrize(
    "path",
    [
        "/next?limit=0",
        "/next?limit=1001",
        "/next?limit=x",
        "/next?limit=",
        "/next?limit=1&limit=2",
        "/next?count=1",
        "/orders?cursor=abc",
        "/orders?cursor=0",
        "/orders/1/units?status=lost",
        "/orders/1/units?%ff=1",
    ],
)
@pytest_twisted.ensureDeferred
async def test_bad_parameters_are_400(web: Web, path: str) -> None:
    said = await web.ask("GET", path)
    assert said.is_problem(400)
    assert said.json["parameter"]
    assert web.desk.asked == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", "/go/", "GET, POST"),
        ("HEAD", "/go", "GET, POST"),
        ("DELETE", "/go/", "GET, POST"),
        ("OPTIONS", "/go/", "GET, POST"),
        ("BREW", "/go/", "GET, POST"),
        ("GET", "/stop/", "POST"),
        ("HEAD", "/stop", "POST"),
        ("PUT", "/orders", "GET, HEAD, POST"),
        ("POST", "/", "GET, HEAD"),
        ("GET", "/leaders/outbox", "DELETE"),
        ("GET", "/agents/x/drain", "POST"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_other_methods_are_405(web: Web, method: str, path: str, allowed: str) -> None:
    said = await web.ask(method, path)
    assert (said.status, said.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert said.is_problem(405)
    assert web.desk.asked == []


@pytest.mark.parametrize("path", ["/", "/next", "/orders", "/livez", "/readyz"])
@pytest_twisted.ensureDeferred
async def test_head_is_get_without_the_body(web: Web, path: str) -> None:
    request = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head = await web.raw(request.encode())
    got = await web.ask("GET", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]


@pytest_twisted.ensureDeferred
async def test_an_order_is_placed(web: Web) -> None:
    said = await web.ask("POST", "/orders", json={"account": "ada", "units": ["a"]})
    assert said.status == 201
    assert said.headers["location"] == "/orders/7"
    assert said.headers["cache-control"] == "no-store"
    assert said.json == {"id": 7, "going": True, "units": 1}
    assert web.desk.asked == [("place", NewOrder(account="ada", units=[NewUnit("a")]))]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b'{"units":["a",{"payload":NaN}]}', 400, "/units/1/payload"),
        (b'{"units":["a",{"nme":1}]}', 422, "/units/1/nme"),
        (b'{"units":["a","a"]}', 422, "/units/1"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_bad_order_is_refused_with_its_place(
    web: Web, body: bytes, status: int, pointer: str
) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    said = await web.ask("POST", "/orders", data=body, headers=headers)
    assert said.is_problem(status)
    assert said.json["pointer"] == pointer
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_a_long_order_is_read_beside_the_reactor(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = []

    def read(body: bytes) -> NewOrder:
        readers.append(threading.current_thread())
        return read_order(body)

    monkeypatch.setattr(orders, "read_order", read)
    names = [f"scene-{n}" for n in range(10_000)]
    assert (await web.ask("POST", "/orders", json={"units": names})).status == 201
    ((_, placed),) = web.desk.asked
    assert [unit.name for unit in placed.units] == names
    refused = await web.ask("POST", "/orders", json={"units": [*names, "scene-7"]})
    assert (refused.status, refused.json["pointer"]) == (422, "/units/10000")
    assert (await web.ask("POST", "/orders", json={"units": ["a"]})).status == 201
    assert [reader is threading.current_thread() for reader in readers] == [False, False, True]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/orders", {}),
        ("/orders", {"Content-Type": "text/html"}),
        ("/orders", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("/orders", {"Content-Type": "application/json; charset=latin-1"}),
        ("/orders", {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
        ("/go/", {"Content-Type": "text/plain"}),
        ("/go/", {}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_body_that_is_not_said_to_be_json_is_415(
    web: Web, path: str, headers: dict[str, str]
) -> None:
    said = await web.ask("POST", path, data=b'{"units":["a"]}', headers=headers)
    assert said.is_problem(415)
    assert web.desk.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/go/"),
        ("POST", "/stop/"),
        ("POST", "/orders"),
        ("DELETE", "/leaders/outbox"),
        ("POST", "/agents/x/drain"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_nothing_is_changed_for_another_site(
    web: Web, method: str, path: str, headers: dict[str, str]
) -> None:
    said = await web.ask(method, path, headers=headers)
    assert said.is_problem(403)
    assert said.headers["cache-control"] == "no-store"
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_an_own_page_and_the_address_bar_may_press_go(web: Web) -> None:
    own = {"Origin": f"http://127.0.0.1:{web.port}", "Sec-Fetch-Site": "same-origin"}
    for headers in (own, {"Sec-Fetch-Site": "none"}):
        said = await web.ask("GET", "/go/", headers=headers)
        assert (said.status, said.headers["cache-control"]) == (200, "no-store")


@pytest_twisted.ensureDeferred
async def test_agents_are_drained_and_leaders_forgotten(web: Web) -> None:
    web.desk.prepared |= {"drain": True, "forget_leader": True}
    drained = await web.ask("POST", "/agents/0a1b/drain")
    assert (drained.status, drained.json) == (202, {"agent": "0a1b", "presence": "draining"})
    forgotten = await web.ask("DELETE", "/leaders/outbox")
    assert (forgotten.status, forgotten.json) == (200, {"box": "outbox", "forgotten": True})
    web.desk.prepared |= {"drain": False, "forget_leader": False}
    assert (await web.ask("POST", "/agents/0a1b/drain")).is_problem(404)
    assert (await web.ask("DELETE", "/leaders/outbox")).is_problem(404)
    web.desk.asked.clear()
    assert (await web.ask("DELETE", "/leaders/Dead%00")).is_problem(404)
    assert (await web.ask("POST", "/agents/%00/drain")).is_problem(404)
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_life_and_readiness(web: Web) -> None:
    assert (await web.ask("GET", "/livez")).json == {"alive": True}
    assert (await web.ask("GET", "/readyz")).json["ready"] is True
    web.desk.readiness = {"ledger": "postgres unknown: set RTB_DB_HOST", "broker": "ready"}
    said = await web.ask("GET", "/readyz")
    assert said.is_problem(503)
    assert said.json["detail"] == "waiting for ledger"
    assert said.json["parts"] == web.desk.readiness
    assert (await web.ask("GET", "/livez")).status == 200


@pytest_twisted.ensureDeferred
async def test_what_is_away_is_503(web: Web) -> None:
    web.desk.prepared |= {"summary": AwayError(), "place": AwayError()}
    for said in (
        await web.ask("GET", "/"),
        await web.ask("POST", "/orders", json={"units": ["a"]}),
    ):
        assert said.is_problem(503)
        assert said.headers["retry-after"] == "1"
        assert b"SELECT" not in said.body


@pytest_twisted.ensureDeferred
async def test_a_defect_is_500_and_says_nothing(web: Web, errors_fail: Any) -> None:
    web.desk.prepared["summary"] = ValueError("SELECT secret FROM /etc")
    said = await web.ask("GET", "/")
    assert said.is_problem(500)
    assert b"secret" not in said.body
    assert b"Traceback" not in said.body
    (failure,) = errors_fail.consume(ValueError)
    assert "secret" in str(failure.value)


@pytest_twisted.ensureDeferred
async def test_an_answer_that_cannot_be_rendered_is_500(web: Web, errors_fail: Any) -> None:
    web.desk.prepared["summary"] = {"x": object()}
    assert (await web.ask("GET", "/")).is_problem(500)
    assert errors_fail.consume(TypeError)


@pytest_twisted.ensureDeferred
async def test_a_late_desk_is_503_in_two_seconds_and_goes_on(web: Web, reactor: Any) -> None:
    stored: Deferred[Any] = Deferred()
    web.desk.prepared["place"] = stored
    began = reactor.seconds()
    said = await web.ask("POST", "/orders", json={"units": ["a"]})
    assert said.is_problem(503)
    assert said.headers["retry-after"] == "1"
    assert reactor.seconds() - began < 2.5
    stored.callback({"id": 1})


@pytest_twisted.ensureDeferred
async def test_a_client_that_hangs_up_cancels_nothing(web: Web, reactor: Any) -> None:
    cancelled: list[Any] = []
    stored: Deferred[Any] = Deferred(cancelled.append)
    web.desk.prepared["place"] = stored
    connection = await web.connect()
    body = b'{"units":["a"]}'
    connection.transport.write(
        b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    while not web.desk.asked:
        await turn(reactor)
    connection.transport.abortConnection()
    await connection.ended
    # Another request over another connection: by then the loss has been noticed.
    await web.ask("GET", "/livez")
    assert cancelled == []
    stored.callback({"id": 1})


def turn(reactor: Any) -> Deferred[None]:
    waited: Deferred[None] = Deferred()
    reactor.callLater(0, waited.callback, None)
    return waited
