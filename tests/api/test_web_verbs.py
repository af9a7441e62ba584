"""Verbs, accounts and forecasts, as far as the web goes."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from web_support import Web

from rtb.ledger import RefusedError
from rtb.ledger.errors import units_pruned
from rtb.model.lifecycle import Status
from rtb.model.verbs import Filter, Verb


@pytest.mark.parametrize("verb", ["cancel", "hold", "release", "retry"])
@pytest_twisted.ensureDeferred
async def test_an_order_does_as_it_is_told(web: Web, verb: str) -> None:
    web.desk.prepared["change_order"] = 12
    said = await web.ask("POST", f"/orders/3/{verb}", json={"why": "clouds"})
    assert (said.status, said.json) == (202, {"id": 3, "verb": verb, "units": 12})
    assert (await web.ask("POST", f"/orders/3/{verb}")).status == 202
    assert web.desk.asked == [
        ("change_order", 3, verb, "clouds", 0),
        ("change_order", 3, verb, "", 0),
    ]


@pytest_twisted.ensureDeferred
async def test_units_that_were_pruned_are_gone(web: Web) -> None:
    web.desk.prepared["units"] = web.desk.prepared["change_order"] = units_pruned(3)
    web.desk.prepared["all_units"] = [units_pruned(3)]
    web.desk.prepared["order"] = {"id": 3}
    for said in (
        await web.ask("GET", "/orders/3/units"),
        await web.ask("GET", "/orders/3/units", headers={"Accept": "application/x-ndjson"}),
        await web.ask("POST", "/orders/3/retry"),
    ):
        assert said.is_problem(410)
        assert "were pruned" in said.json["detail"]


@pytest_twisted.ensureDeferred
async def test_a_priority_is_a_number(web: Web) -> None:
    web.desk.prepared["change_order"] = 0
    assert (await web.ask("POST", "/orders/3/priority", json={"priority": -2})).status == 202
    assert web.desk.asked == [("change_order", 3, Verb.PRIORITY, "", -2)]
    for body in ({}, {"priority": 2**31}, {"priority": "1"}, {"priority": 1.5}):
        said = await web.ask("POST", "/orders/3/priority", json=body)
        assert said.is_problem(422)
    assert (await web.ask("POST", "/orders/3/hold", json={"priority": 1})).is_problem(422)


@pytest_twisted.ensureDeferred
async def test_units_are_counted_first(web: Web) -> None:
    web.desk.prepared["count_units"] = 5
    body: dict[str, Any] = {"status": ["error", "cancelled"], "prefix": "LC08", "unit": 7}
    chosen = Filter(frozenset({Status.ERROR, Status.CANCELLED}), "LC08", 7)
    said = await web.ask("POST", "/orders/3/units/retry", json=body)
    assert (said.status, said.json["units"]) == (200, 5)
    assert '"expect_count": 5' in said.json["hint"]
    said = await web.ask("POST", "/orders/3/units/retry", json=body | {"expect_count": 4})
    assert said.is_problem(409)
    assert said.json["units"] == 5
    assert all(asked[0] == "count_units" for asked in web.desk.asked)
    said = await web.ask("POST", "/orders/3/units/retry", json=body | {"expect_count": 5})
    assert (said.status, said.json["units"]) == (202, 5)
    assert web.desk.asked[-1] == ("change_units", 3, Verb.RETRY, chosen, 5, "", 0)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/orders/3/units/retry", {"status": "lost"}, 422),
        ("/orders/3/units/retry", {"prefix": ""}, 422),
        ("/orders/3/units/retry", {"unit": 0}, 422),
        ("/orders/3/units/retry", {"expect_count": -1}, 422),
        ("/orders/3/units/retry", {"everything": True}, 422),
        ("/orders/3/units/priority", {"priority": 40000}, 422),
        ("/orders/3/units/destroy", {}, 404),
        ("/orders/3/destroy", {}, 404),
        ("/orders/0/cancel", {}, 404),
        ("/orders/3/cancel", {"why": "x" * 501}, 422),
        ("/orders/3/cancel", [], 422),
        ("/accounts/ann", {"weight": -1}, 422),
        ("/accounts/ann", {"weight": 0}, 422),
        ("/accounts/ann", {"weight": 2**63}, 422),
        ("/accounts/ann", {"weight": 1e300}, 422),
        ("/accounts/ann", {"cap": -1}, 422),
        ("/accounts/ann", {"cap": 2**63}, 422),
        ("/accounts/%00", {"weight": 1}, 422),
        ("/accounts/" + "n" * 201, {"weight": 1}, 422),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_is_refused(web: Web, path: str, body: Any, status: int) -> None:
    web.desk.prepared["count_units"] = 1
    assert (await web.ask("POST", path, json=body)).is_problem(status)
    assert web.desk.asked == []


@pytest_twisted.ensureDeferred
async def test_what_is_said_twice_is_refused(web: Web) -> None:
    said = await web.ask(
        "POST",
        "/accounts/ann",
        data=b'{"weight": 1, "weight": 2}',
        headers={"Content-Type": "application/json"},
    )
    assert said.is_problem(400)


@pytest_twisted.ensureDeferred
async def test_an_account_is_set(web: Web) -> None:
    web.desk.prepared["set_account"] = {"account": "ann", "weight": 2.0, "cap": None, "open": 0}
    said = await web.ask("POST", "/accounts/ann", json={"weight": 2})
    assert (said.status, said.json["weight"]) == (200, 2.0)
    await web.ask("POST", "/accounts/ann", json={"cap": 5})
    await web.ask("POST", "/accounts/ann", json={"cap": None})
    assert web.desk.asked == [
        ("set_account", "ann", 2.0, None, False),
        ("set_account", "ann", None, 5, True),
        ("set_account", "ann", None, None, True),
    ]


@pytest_twisted.ensureDeferred
async def test_not_in_this_state_is_409_and_no_such_order_404(web: Web) -> None:
    web.desk.prepared["change_order"] = RefusedError("it is being cancelled", "RT409")
    assert (await web.ask("POST", "/orders/3/hold")).is_problem(409)
    for path in ("/orders/4/forecast", "/orders/4"):
        assert (await web.ask("GET", path)).is_problem(404)
    web.desk.prepared = {"change_order": None}
    assert (await web.ask("POST", "/orders/4/hold")).is_problem(404)


@pytest_twisted.ensureDeferred
async def test_orders_by_account_and_label(web: Web) -> None:
    await web.ask("GET", "/orders?account=ann&label=tile:1&loading=true")
    wanted = {"account": "ann", "labels": {"tile": "1"}, "loading": True}
    assert web.desk.asked == [("orders", 100, None, wanted)]
