"""Metrics of the API, on a real ledger."""

from __future__ import annotations

import pytest_twisted
from live_support import LiveWeb
from prometheus_client.parser import text_string_to_metric_families

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
async def test_no_name_of_a_user_is_a_label(live_web: LiveWeb) -> None:
    await live_web.place("secret-unit", account="secret-account", name="secret-order")
    said = await live_web.web.ask("GET", "/metrics")
    assert b"secret" not in said.body
