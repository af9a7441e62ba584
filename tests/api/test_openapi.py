"""The description of the API says what the API does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import pytest_twisted
from live_support import LiveWeb
from openapi_spec_validator import OpenAPIV31SpecValidator
from web_support import Web

from rtb.api.web.openapi import SAYS, describe
from rtb.api.web.routes import Resources
from rtb.api.web.table import ROUTES

ensure = pytest_twisted.ensureDeferred
#: What their users see of them beyond the ledger is tested elsewhere.
SEEN = ["/", "/trace", "/orders", "/orders/{id}", "/livez", "/readyz"]


def test_it_is_valid_and_every_route_is_in_it() -> None:
    said = describe(ROUTES, Resources)
    OpenAPIV31SpecValidator(said).validate()
    described = {(path, method) for path, methods in said["paths"].items() for method in methods}
    assert described == {
        (re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", route.path), method.lower())
        for route in ROUTES
        for method in route.methods
    }
    assert set(SAYS) == {route.resource for route in ROUTES}
    assert all(
        operation["summary"] for methods in said["paths"].values() for operation in methods.values()
    )


def test_the_one_in_the_docs_is_of_this_version() -> None:
    """`rtb openapi > docs/openapi.json` makes it."""
    file = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert json.loads(file.read_text()) == describe(ROUTES, Resources)


@ensure
async def test_it_is_served(web: Web) -> None:
    said = await web.ask("GET", "/openapi.json")
    assert said.json == describe(ROUTES, Resources)


@pytest.mark.parametrize("path", SEEN)
@ensure
async def test_answers_are_as_described(live_web: LiveWeb, path: str) -> None:
    order = await live_web.place("a", "b")
    live_web.web.desk.prepared["orders"] = await live_web.reads.orders(10, None)
    said = await live_web.web.ask("GET", path.replace("{id}", str(order)))
    description = describe(ROUTES, Resources)
    schema = description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(
        said.json,
        {**schema["schema"], "components": description["components"]},
        cls=jsonschema.Draft202012Validator,
    )


@ensure
async def test_units_are_as_described(live_web: LiveWeb) -> None:
    order = await live_web.place("a", "b")
    description = describe(ROUTES, Resources)
    unit = await live_web.reads.units(order, None, 10, None)
    assert unit is not None
    live_web.web.desk.prepared |= {
        "units": unit,
        "unit": await live_web.reads.unit(unit.items[0]["id"]),
        "next_units": [
            {**first, "code": "NEXT", "why": "it goes with the next claim"}
            for first in await live_web.reads.next_units(10)
        ],
        "agents": await live_web.reads.agents(),
    }
    for path, asked in (
        ("/orders/{id}/units", f"/orders/{order}/units"),
        ("/units/{id}", "/units/1"),
        ("/next", "/next"),
        ("/agents", "/agents"),
    ):
        said = await live_web.web.ask("GET", asked)
        content = description["paths"][path]["get"]["responses"]["200"]["content"]
        jsonschema.validate(
            said.json,
            {**content["application/json"]["schema"], "components": description["components"]},
            cls=jsonschema.Draft202012Validator,
        )
