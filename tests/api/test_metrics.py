"""Metrics of the API, on a real ledger."""

from __future__ import annotations

import pytest_twisted
from live_support import LiveWeb
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import deferLater

ensure = pytest_twisted.ensureDeferred


async def scrape(live_web: LiveWeb) -> dict[str, dict[tuple[str, ...], float]]:
    said = await live_web.web.ask("GET", "/metrics")
    assert said.status == 200
    assert said.headers["content-type"].startswith("text/plain; version=")
    samples: dict[str, dict[tuple[str, ...], float]] = {}
    names = []
    for family in text_string_to_metric_families(said.body.decode()):
        names.append(family.name)
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    assert len(names) == len(set(names)), "each family once"
    return samples


@ensure
async def test_the_books_in_numbers(live_web: LiveWeb) -> None:
    await live_web.place("a", "b", "c")
    await live_web.place("d")
    seen = await scrape(live_web)
    assert seen["rtb_units"][("waiting",)] == 4
    assert sum(seen["rtb_units"].values()) == 4
    assert seen["rtb_orders"][("waiting",)] == 2
    assert seen["rtb_units_unaccounted"][()] == 0
    assert seen["rtb_oldest_unit_age_seconds"][("waiting",)] > 0
    assert seen["rtb_db_up"][()] == 1
    assert seen["rtb_tracker_target"][()] == 0, "nobody said go"


@ensure
async def test_books_that_do_not_add_up_are_noticed(live_web: LiveWeb) -> None:
    await live_web.place("a", "b", "c")
    lane = live_web.books._person
    await lane.run("UPDATE counters SET waiting = waiting - 1 WHERE kind = 'order'")
    assert (await scrape(live_web))["rtb_units_unaccounted"][()] == 1


@ensure
async def test_nothing_is_dropped_while_the_ledger_is_away(live_web: LiveWeb) -> None:
    await live_web.place("a", "b", "c")
    before = await scrape(live_web)
    live_web.metrics._looked_at = -10.0
    await live_web.books._person.run("ALTER TABLE counters RENAME TO hidden")
    away = await scrape(live_web)
    assert away["rtb_db_up"][()] == 0
    assert set(before) <= set(away)
    assert away["rtb_units"] == before["rtb_units"]
    await live_web.books._person.run("ALTER TABLE hidden RENAME TO counters")


@ensure
async def test_answers_are_counted_by_route(live_web: LiveWeb) -> None:
    await live_web.web.ask("GET", "/orders/7")
    await live_web.web.ask("GET", "/orders/8")
    await live_web.web.ask("GET", "/nowhere")
    await live_web.web.ask("BREW", "/livez")
    seen = await scrape(live_web)
    counted = seen["rtb_http_requests_total"]
    assert counted[("404", "GET", "/orders/<id>")] == 2
    assert counted[("404", "GET", "none")] == 1
    assert counted[("405", "other", "none")] == 1
    assert seen["rtb_sse_clients"][()] == 0


@ensure
async def test_durations_are_counted_from_what_was_told(live_web: LiveWeb) -> None:
    """A unit waits 10 s, queues 4 s, is lost, is given out again 2 s later."""
    order = await live_web.place("a")
    durations, lane = live_web.metrics.durations, live_web.books._person
    await durations.look()
    await lane.run(
        """WITH told (kind, attempt, ago, claimed) AS (VALUES
               ('queued', 1, 89, 90), ('processing', 1, 86, NULL),
               ('lost', 1, 60, NULL), ('success', 2, 10, 58)),
           moved AS (UPDATE orders SET created_at = now() - interval '100 s',
                                       finished_at = now() - interval '3.5 s')
           INSERT INTO events (unit_id, round, attempt, kind, who, at, claimed_at)
           SELECT u.id, 1, t.attempt, t.kind::event_kind, 'somebody',
                  now() - make_interval(secs => t.ago), now() - make_interval(secs => t.claimed)
             FROM told t, units u"""
    )
    await durations.look()
    seen = await scrape(live_web)
    assert seen["rtb_unit_wait_seconds_count"][()] == 2
    assert round(seen["rtb_unit_wait_seconds_sum"][()]) == 10 + 2
    assert seen["rtb_unit_wait_seconds_bucket"][("5.0",)] == 1
    assert round(seen["rtb_unit_queue_seconds_sum"][()]) == 4
    assert seen["rtb_units_republished_total"][("lost",)] == 1
    assert sum(seen["rtb_units_republished_total"].values()) == 1
    assert seen["rtb_order_seconds_count"][()] == 0, "it ended a moment ago"
    for _ in range(100):
        await deferLater(live_web.web.reactor, 0.2, lambda: None)
        await durations.look()
        if (seen := await scrape(live_web))["rtb_order_seconds_count"][()]:
            break
    await durations.look()
    seen = await scrape(live_web)
    assert seen["rtb_order_seconds_count"][()] == 1
    assert round(seen["rtb_order_seconds_sum"][()]) in (96, 97), order
    assert seen["rtb_unit_wait_seconds_count"][()] == 2, "nothing is counted twice"


@ensure
async def test_statements_are_timed_and_connections_counted(live_web: LiveWeb) -> None:
    before = (await scrape(live_web))["rtb_db_query_seconds_count"]
    await live_web.place("a")
    seen = await scrape(live_web)
    after = seen["rtb_db_query_seconds_count"]
    assert after[("place",)] == before.get(("place",), 0) + 1
    assert seen["rtb_db_pool_connections"][("idle",)] >= 2
    assert set(seen["rtb_db_pool_connections"]) == {("busy",), ("idle",), ("closed",)}


@ensure
async def test_no_name_of_a_user_is_a_label(live_web: LiveWeb) -> None:
    await live_web.place("secret-unit", account="secret-account", name="secret-order")
    said = await live_web.web.ask("GET", "/metrics")
    assert b"secret" not in said.body
