"""The live feed: what is sent when, to whom, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from live_support import LiveWeb
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from rtb.api.live import feed
from rtb.api.web import routes, site
from rtb.model.lifecycle import Kind

ensure = pytest_twisted.ensureDeferred
JSON = {"Accept": "application/json"}


def pause(live_web: LiveWeb, seconds: float) -> Deferred[None]:
    return deferLater(live_web.web.reactor, seconds, lambda: None)


@ensure
async def test_who_comes_sees_everything_at_once(live_web: LiveWeb) -> None:
    order = await live_web.place("a", "b", "c", account="jane", name="april")
    stream = await live_web.watch()
    (snapshot,) = await stream.until(lambda: stream.of("snapshot"))
    assert [event.kind for event in stream.events] == ["hello", "snapshot"]
    assert snapshot.data["units"]["waiting"] == snapshot.data["units"]["total"] == 3
    (shown,) = snapshot.data["orders"]
    assert (shown["id"], shown["account"], shown["name"]) == (order, "jane", "april")
    head = stream.raw.received.partition(b"\r\n\r\n")[0].lower()
    for header in (
        b"content-type: text/event-stream",
        b"cache-control: no-store",
        b"x-accel-buffering: no",
    ):
        assert header in head
    assert "retry: " in stream.text


@ensure
async def test_a_commit_is_seen_in_less_than_a_second_and_nothing_is_said_twice(
    live_web: LiveWeb,
) -> None:
    stream = await live_web.watch()
    await stream.until(lambda: stream.of("snapshot"))
    seconds = live_web.web.reactor.seconds
    took = []
    for total in (1, 2, 3):
        before = seconds()
        await live_web.place(f"unit-{total}")
        await stream.until(lambda n=total: stream.of("snapshot")[-1].data["units"]["total"] == n)
        took.append(seconds() - before)
    assert min(took) < 1.0
    # Rates settle, and then nothing is said any more but signs of life.
    await stream.until(lambda: stream.of("beat"))
    said = len(stream.of("snapshot"))
    for _ in range(5):
        live_web.bell.ring()
        await pause(live_web, 0.3)
    assert len(stream.of("snapshot")) <= said + 1
    ids = [event.id for event in stream.of("snapshot")]
    assert len(set(ids)) == len(ids)


@ensure
async def test_a_hundred_commits_are_a_few_frames(live_web: LiveWeb) -> None:
    stream = await live_web.watch()
    await stream.until(lambda: stream.of("snapshot"))
    before = live_web.web.reactor.seconds()
    for number in range(100):
        await live_web.place(f"unit-{number}")
    await stream.until(lambda: stream.of("snapshot")[-1].data["units"]["total"] == 100)
    took = live_web.web.reactor.seconds() - before
    assert len(stream.of("snapshot")) <= took / 0.5 + 3


@ensure
async def test_what_another_api_commits_is_seen_as_well(live_web: LiveWeb) -> None:
    stream = await live_web.watch()
    await stream.until(lambda: stream.of("snapshot"))
    live_web.bell._listeners.clear()
    await live_web.place("a")
    await stream.until(lambda: stream.of("snapshot")[-1].data["units"]["total"] == 1)


@ensure
async def test_who_has_the_newest_frame_is_not_sent_it_again(live_web: LiveWeb) -> None:
    first = await live_web.watch()
    (snapshot,) = await first.until(lambda: first.of("snapshot"))
    again = await live_web.watch(Last_Event_ID=snapshot.id)
    other = await live_web.watch(Last_Event_ID="test-999")
    await other.until(lambda: other.of("snapshot"))
    await again.until(lambda: again.of("hello"))
    assert again.of("snapshot") == []


@ensure
async def test_the_units_of_the_order_that_is_watched(live_web: LiveWeb) -> None:
    order = await live_web.place("a", "b", "c")
    stream = await live_web.watch(f"/events?order={order}")
    (units,) = await stream.until(lambda: stream.of("units"))
    assert units.data == {"order": order, "total": 3, "cells": "www", "runs": [[1, 3]]}
    nobody = await live_web.watch("/events?order=999")
    (nothing,) = await nobody.until(lambda: nobody.of("units"))
    assert nothing.data is None


@ensure
async def test_a_large_order_comes_in_bins(live_web: LiveWeb) -> None:
    order = await live_web.place(*(f"unit-{number}" for number in range(20_000)))
    stream = await live_web.watch(f"/events?order={order}")
    (units,) = await stream.until(lambda: stream.of("units"))
    assert len(units.data["bins"]) == 240
    assert sum(waiting for _, waiting, *_ in units.data["bins"]) == 20_000
    assert max(map(len, stream.text.split("\n"))) < 8192


@ensure
async def test_the_broker_away_is_said_in_3_seconds(live_web: LiveWeb) -> None:
    await live_web.place("a", "b")
    stream = await live_web.watch()
    await stream.until(lambda: stream.of("snapshot"))
    live_web.parts["broker"] = "refused"
    await stream.until(
        lambda: any(item["kind"] == "down" for item in stream.of("snapshot")[-1].data["attention"]),
        limit=3,
    )
    assert stream.of("snapshot")[-1].data["units"]["total"] == 2


@ensure
async def test_the_ledger_away_is_said_and_the_last_numbers_stay(live_web: LiveWeb) -> None:
    await live_web.place("a", "b")
    stream = await live_web.watch()
    await stream.until(lambda: stream.of("snapshot"))
    lane = live_web.books._person
    await lane.run("ALTER TABLE counters RENAME TO hidden")
    await stream.until(lambda: not stream.of("snapshot")[-1].data["fresh"])
    last = stream.of("snapshot")[-1].data
    assert last["units"]["total"] == 2
    assert last["parts"]["ledger"] != "ready"
    assert last["attention"][0]["kind"] == "down"
    page = await live_web.web.ask("GET", "/", headers={"Accept": "text/html"})
    assert page.status == 200
    await lane.run("ALTER TABLE hidden RENAME TO counters")
    await stream.until(lambda: stream.of("snapshot")[-1].data["fresh"])


@ensure
async def test_a_foreign_page_does_not_listen(live_web: LiveWeb) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        said = await live_web.web.ask("GET", "/events", headers=headers)
        assert said.is_problem(403)
    said = await live_web.web.ask("GET", "/events?order=x")
    assert said.is_problem(400)


@ensure
async def test_one_stream_too_many_is_503(
    live_web: LiveWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "STREAMS_MOST", 2)
    streams = [await live_web.watch() for _ in range(2)]
    for stream in streams:
        await stream.until(lambda stream=stream: stream.of("snapshot"))
    said = await live_web.web.ask("GET", "/events")
    assert said.is_problem(503)
    assert said.headers["retry-after"]
    streams[0].raw.transport.loseConnection()
    await streams[0].raw.ended
    for _ in range(50):
        if live_web.live.feed.watching < 2:
            break
        await pause(live_web, 0.02)
    another = await live_web.watch()
    await another.until(lambda: another.of("snapshot"))


@ensure
async def test_one_connection_too_many_is_refused(
    live_web: LiveWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "CONNECTIONS_MOST", 3)
    held = [await live_web.web.connect() for _ in range(3)]
    await pause(live_web, 0.1)
    refused = await live_web.watch("/livez")
    await refused.raw.ended
    assert refused.raw.received.startswith(b"HTTP/1.1 503 ")
    for raw in held:
        raw.transport.loseConnection()
        await raw.ended
    await pause(live_web, 0.1)
    assert (await live_web.web.ask("GET", "/livez")).status == 200


@ensure
async def test_an_api_that_ends_says_so(live_web: LiveWeb) -> None:
    streams = [await live_web.watch() for _ in range(3)]
    for stream in streams:
        await stream.until(lambda stream=stream: stream.of("snapshot"))
    await live_web.live.feed.stopService()
    for stream in streams:
        await stream.until(lambda stream=stream: stream.raw.received.endswith(b"0\r\n\r\n"))
        assert stream.events[-1].kind == "bye"


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@ensure
async def test_stalled_readers_cost_little_delay_nobody_and_are_cut_off(
    live_web: LiveWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 watch, 20 of them read nothing, and what is sent would be 20 MB for each."""
    reactor = live_web.web.reactor
    streams = list(await gatherResults(
        [Deferred.fromCoroutine(live_web.watch()) for _ in range(200)]
    ))  # fmt: skip
    for stream in streams:
        await stream.until(lambda stream=stream: b"snapshot" in stream.raw.received)
    stalled, lively = streams[:20], streams[20:]
    for stream in stalled:
        stream.raw.transport.pauseProducing()
    for stream in lively:
        stream.raw.dataReceived = count(stream.raw)
    viewers = list(live_web.live.feed.viewers)
    assert len(viewers) == 200
    before = resident()
    frame = b"event: snapshot\ndata: %b\n\n" % (b"x" * 20_000)
    for _ in range(1000):
        for viewer in viewers:
            viewer.send("snapshot", frame)
        await pause(live_web, 0)
        if live_web.live.feed.frames_coalesced > 400:
            break
    assert live_web.live.feed.frames_coalesced > 0
    assert resident() - before < 60 * 1024 * 1024
    # The lively ones get what is sent now.
    lags = []
    for _ in range(3):
        marks = [stream.raw.seen for stream in lively]
        sent = reactor.seconds()
        for viewer in viewers:
            viewer.send("snapshot", frame)
        while any(
            stream.raw.seen < mark + len(frame) for stream, mark in zip(lively, marks, strict=True)
        ):
            await pause(live_web, 0.01)
            assert reactor.seconds() - sent < 30.0
        lags.append(reactor.seconds() - sent)
    assert min(lags) < 1.0, lags
    monkeypatch.setattr(feed, "_PATIENCE", 0.2)
    while len(live_web.live.feed.viewers) > len(lively):
        await pause(live_web, 0.1)
        assert reactor.seconds() - sent < 180.0
    for stream in streams:
        stream.raw.transport.abortConnection()
        await stream.raw.ended


def count(raw: Any) -> Any:
    raw.seen = 0

    def received(data: bytes) -> None:
        raw.seen += len(data)

    return received


# ---- waiting for an order


async def settle(live_web: LiveWeb, order: int) -> None:
    """Cancel nothing, run nothing: the ledger is told that each unit came to its end."""
    lane = live_web.books._person
    await lane.run(
        "UPDATE units SET status = 'success', ready = false WHERE order_id = %(order)s",
        {"order": order},
    )
    live_web.bell.ring()


@ensure
async def test_waiting_for_an_order_ends_with_it(live_web: LiveWeb) -> None:
    order = await live_web.place("a", "b")
    reactor = live_web.web.reactor
    began = reactor.seconds()
    waiting = Deferred.fromCoroutine(
        live_web.web.ask("GET", f"/orders/{order}?wait=30s&until=done")
    )
    await pause(live_web, 0.5)
    assert not waiting.called
    await settle(live_web, order)
    said = await waiting
    assert reactor.seconds() - began < 10
    assert said.json["status"] == "success"
    again = await live_web.web.ask("GET", f"/orders/{order}?wait=60")
    assert again.json["finished_at"]


@ensure
async def test_waiting_in_vain_shows_the_order_as_it_is(live_web: LiveWeb) -> None:
    order = await live_web.place("a")
    said = await live_web.web.ask("GET", f"/orders/{order}?wait=0.3")
    assert (said.status, said.json["status"]) == (200, "waiting")
    for path in ("?wait=61", "?wait=x", "?until=never", "?wait="):
        assert (await live_web.web.ask("GET", f"/orders/{order}{path}")).is_problem(400)
    assert (await live_web.web.ask("GET", "/orders/99?wait=30")).is_problem(404)


@ensure
async def test_who_hangs_up_waits_no_longer_and_who_ends_lets_go(live_web: LiveWeb) -> None:
    order = await live_web.place("a")
    stream = await live_web.watch(f"/orders/{order}?wait=30")
    await pause(live_web, 0.3)
    stream.raw.transport.abortConnection()
    await stream.raw.ended
    waiting = Deferred.fromCoroutine(live_web.web.ask("GET", f"/orders/{order}?wait=30"))
    await pause(live_web, 0.3)
    await live_web.live._waits.stopService()
    assert (await waiting).json["status"] == "waiting"


# ---- the past


@ensure
async def test_the_trace_of_what_was_done(live_web: LiveWeb) -> None:
    await live_web.place("a", "b")
    await live_web.live.feed._reads.sample()
    said = await live_web.web.ask("GET", "/trace")
    assert len(said.json["t"]) == 60
    assert (await live_web.web.ask("GET", "/trace?window=24h")).json["t"]
    assert (await live_web.web.ask("GET", "/trace?window=2h")).is_problem(400)


def test_the_kinds_of_the_ticker_are_those_of_the_lifecycle() -> None:
    page = Path(routes.__file__).with_name("page")
    known = (page / "dom.js").read_text()
    for kind in Kind:
        assert f"{kind}: [" in known
