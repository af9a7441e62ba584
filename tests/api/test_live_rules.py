"""The pure parts of the live page: rates, what limits, lanes, traces."""

from __future__ import annotations

from typing import Any

import pytest

from rtb.api.live.attention import attention
from rtb.api.live.bottleneck import Flow, Peaks, bottleneck
from rtb.api.live.frames import FRAME_BYTES, encode
from rtb.api.live.lanes import LANE_SECONDS, Lanes
from rtb.api.live.picture import paint
from rtb.api.live.rates import OrderRates, Rates
from rtb.api.live.trace import trace
from rtb.api.live.watcher import blank
from rtb.ledger import Glance, Trouble


def flow(**other: Any) -> Flow:
    usual = {
        "going": True, "waiting": 100, "held": 50, "capacity": 50, "processing": 8, "slots": 8,
        "leaders": 1, "agents": 1,
    }  # fmt: skip
    return Flow(**{**usual, **other})


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({}, "agents"),
        ({"processing": 7}, "agents"),
        ({"processing": 3}, "hand-out"),
        ({"held": 20, "processing": 3}, "dispatch"),
        ({"held": 20}, "agents"),
        ({"going": False}, "go"),
        ({"leaders": 0, "slots": 0}, "leader"),
        ({"agents": 0, "slots": 0, "processing": 0}, "agents"),
        ({"waiting": 0, "held": 0, "processing": 0}, "nothing"),
        ({"waiting": 0, "held": 0, "processing": 2}, "work"),
        ({"waiting": 0, "held": 3, "processing": 2}, "work"),
        ({"going": False, "waiting": 0, "held": 0, "processing": 2}, "work"),
    ],
)
def test_what_limits(other: dict[str, Any], what: str) -> None:
    limit = bottleneck(flow(**other))
    assert limit.what == what
    assert limit.why


def test_a_stage_that_was_full_a_moment_ago_still_limits() -> None:
    peaks = Peaks()
    assert bottleneck(peaks.of(flow(), 10.0)).what == "agents"
    assert bottleneck(peaks.of(flow(processing=0), 11.0)).what == "agents"
    assert bottleneck(peaks.of(flow(processing=0), 14.5)).what == "hand-out"
    assert bottleneck(peaks.of(flow(processing=8, waiting=0, held=0), 15.0)).what == "agents"
    assert bottleneck(peaks.of(flow(processing=0, waiting=0, held=0), 15.5)).what == "nothing"


def test_a_rate_needs_time() -> None:
    rates = Rates()
    assert rates.read() is None
    rates.add(10.0, (0,))
    assert rates.read() is None
    rates.add(10.5, (5,))
    assert rates.read() is None, "half a second is no measurement"
    rates.add(12.0, (20,))
    assert rates.read() == (10.0,)


def test_a_rate_forgets_what_is_long_ago_and_follows_a_stop() -> None:
    rates = Rates()
    for second in range(60):
        rates.add(float(second), (second * 2,))
    assert rates.read() == (2.0,)
    for second in range(60, 75):
        rates.add(float(second), (118 + (second - 59) * 20,))
    assert rates.read() == (pytest.approx(20.0, rel=0.1),)
    for second in range(75, 300):
        rates.add(float(second), (418,))
    assert rates.read() == (0.0,)


def test_a_rate_of_few_looks_further_back() -> None:
    rates = Rates()
    for second in range(0, 100, 10):
        rates.add(float(second), (second // 10,))
    assert rates.read() == (pytest.approx(0.1, rel=0.3),)


def test_counts_that_shrink_are_no_negative_rate() -> None:
    rates = Rates()
    rates.add(0.0, (10,))
    rates.add(5.0, (3,))
    assert rates.read() == (0.0,)


def test_orders_that_are_not_shown_are_forgotten() -> None:
    rates = OrderRates()
    rates.add(0.0, {1: 0, 2: 0})
    rates.add(2.0, {1: 4})
    assert rates.read(1) == 2.0
    assert rates.read(2) is None


def test_lanes_hold_what_was_seen_until_the_next_look() -> None:
    lanes = Lanes()
    lanes.look(100.2, {"a": 1.0, "b": 0.0}, frozenset())
    lanes.look(103.9, {"a": 0.0, "b": 0.5}, frozenset({"b"}))
    read = lanes.read(105.0)
    assert read["a"].endswith(".999900")
    assert read["b"].endswith("x44")
    assert len(read["a"]) == len(read["b"]) == LANE_SECONDS
    lanes.look(106.0, {"b": 0.0}, frozenset())
    assert list(lanes.read(106.0)) == ["b"], "an agent that is gone has no lane"


def test_a_second_that_was_busy_for_a_moment_stays_busy() -> None:
    lanes = Lanes()
    lanes.look(10.0, {"a": 1.0}, frozenset())
    lanes.look(10.5, {"a": 0.0}, frozenset())
    assert lanes.read(10.9)["a"][-1] == "9"


def test_a_trace_is_zero_where_nothing_was_written() -> None:
    samples = [
        (100.0, 10, 0, 0, 0, 0, 0, 0.0),
        (105.0, 0, 5, 0, 5, 0, 0, 0.5),
        (110.0, 0, 0, 0, 8, 2, 0, 0.25),
    ]
    shown = trace(samples, 123.0, 30, 5)
    assert shown["t"] == [95, 100, 105, 110, 115, 120]
    assert shown["success"] == [None, None, 1.0, 0.6, 0.0, 0.0]
    assert shown["error"] == [None, None, 0.0, 0.4, 0.0, 0.0]
    assert shown["taken"] == [None, None, 2.0, 0.0, 0.0, 0.0]
    assert shown["fill"] == [None, 0, 50, 25, 25, 25]


def test_a_trace_of_nothing_is_nothing() -> None:
    assert set(trace([], 1000.0, 300, 5)["success"]) == {None}


def test_a_frame_keeps_its_limit_whatever_is_in_it() -> None:
    long = "ü" * 300
    agents = [
        (f"{i:024}", long, long, "outbox", "ready", False, 8, 8, 0.0, 0.0, long) for i in range(200)
    ]
    orders = [
        (i, long, long, long, 1.0, None, False, False, 1, 2, 3, 4, 5, 6, 7) for i in range(12)
    ]
    news = [(i, i, long, 1.0, "success", f"{long}/{i:024}", 1.0) for i in range(100)]
    running = [(i, long, f"{long}/{i:024}", 1.0) for i in range(200)]
    picture = paint(Glance(True, (1,) * 7, [], agents, running, orders, news), 10.0)
    picture["queues"] = dict.fromkeys(("out", "in", "dead", "again"), 10**9)
    picture["attention"] = [{"kind": "error", "text": long}] * 8
    assert len(encode(picture)) < FRAME_BYTES


def test_nothing_needs_anybody() -> None:
    well = dict.fromkeys(("ledger", "broker", "inbox"), "ready")
    assert attention(blank(), well, Trouble([], None, 0), 0.0) == []


def test_what_needs_somebody() -> None:
    agent = ("a1", "ada", "host", "outbox", "ready", False, 8, 1, 50.0, 60.0, "")
    running = [(7, "slow", "ada/a1", 0.0), (8, "slow, too", "bob/b1", 100.0)]
    alive = ("b1", "bob", "host", "outbox", "ready", False, 8, 1, 110.0, 0.0, "")
    box = ("outbox", False, 50, 1, 2, 3, 0.5, 8, 3, 0.0, True, None)
    glance = Glance(False, (5, 1, 2, 3, 0, 4, 0), [box], [agent, alive], running, [], [])
    painted = {**paint(glance, lost_after=16.0), "queues": {"dead": 2}}
    parts = {"ledger": "ready", "broker": "refused by 127.0.0.1", "inbox": "ready"}
    trouble = Trouble([("boom 1", 4, 1.0, 2.0, 9, 3, 1)], 1.5, 2)
    items = attention(painted, parts, trouble, now=110.0)
    kinds = [item["kind"] for item in items]
    assert kinds == ["down", "go", "leader", "box", "dead", "lost", "error", "overdue"]
    assert items[4]["count"] == 2
    assert items[6]["count"] == 4
    assert (items[7]["unit"], items[7]["count"]) == (7, 1)


def test_a_launcher_is_shown_and_what_keeps_it_back_needs_somebody() -> None:
    says = (
        '{"kind":"yarn","wanted":8,"starting":2,"running":0,"leaving":1,"state":"ACCEPTED",'
        '"problem":"no ResourceManager is there"}'
    )
    box = ("outbox", True, 50, 1, 2, 0, 0.5, 0, 0, 0.0, True, says)
    agent = ("a1", "agent-0", "node:1", "outbox", "ready", False, 8, 1, 1.0, 0.0, "container_1")
    painted = paint(Glance(True, (5, 1, 2, 0, 0, 0, 0), [box], [agent], [], [], []), 16.0)
    assert painted["boxes"][0]["launcher"]["line"] == (
        "yarn: 8 wanted, 2 start, 0 run, 1 leave, service ACCEPTED"
    )
    assert painted["agents"][0]["host"] == "node:1 container_1"
    items = attention({**painted, "queues": {"dead": 0}}, {}, None, 0.0)
    # That no agent is there yet is the launcher's affair.
    assert [item["text"] for item in items] == ["box outbox: no ResourceManager is there"]
