"""Every route, in one table, and what a route answers with."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import attrs

from rtb.api.web.request import JSON
from rtb.model.verbs import Verb

__all__ = ["ROUTES", "Answer", "Route"]

_VERB = f"any({', '.join(Verb)}):verb"


@attrs.frozen
class Answer:
    """What a resource says."""

    value: object
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = {}
    #: Of what kind the value is; bytes of any other kind than JSON go out as they are.
    kind: str = JSON


@attrs.frozen
class Route:
    """One row of the table."""

    path: str
    methods: tuple[str, ...]
    resource: str
    #: Does it change anything? Then who asks is checked, and HEAD is refused.
    changes: bool = False
    #: Does it need a body?
    body: bool = False


ROUTES = (
    Route("/", ("GET",), "summary"),
    Route("/page/<name>", ("GET",), "page_file"),
    Route("/openapi.json", ("GET",), "openapi"),
    Route("/events", ("GET",), "events"),
    Route("/trace", ("GET",), "trace"),
    Route("/next", ("GET",), "next_units"),
    Route("/go", ("GET", "POST"), "go", changes=True),
    Route("/stop", ("POST",), "stop", changes=True),
    Route("/orders", ("POST",), "place", changes=True, body=True),
    Route("/orders", ("GET",), "orders"),
    Route("/orders/<id>", ("GET",), "order"),
    Route("/orders/<id>/units", ("GET",), "units"),
    Route("/orders/<id>/forecast", ("GET",), "forecast"),
    Route(f"/orders/<id>/<{_VERB}>", ("POST",), "change_order", changes=True),
    Route(f"/orders/<id>/units/<{_VERB}>", ("POST",), "change_units", changes=True),
    Route("/fair", ("GET",), "fair"),
    Route("/accounts/<name>", ("POST",), "set_account", changes=True, body=True),
    Route("/units/<id>", ("GET",), "unit"),
    Route("/agents", ("GET",), "agents"),
    Route("/agents/<agent>/drain", ("POST",), "drain", changes=True),
    Route("/leaders/<box>", ("DELETE",), "forget_leader", changes=True),
    Route("/livez", ("GET",), "livez"),
    Route("/readyz", ("GET",), "readyz"),
    Route("/metrics", ("GET",), "metrics"),
)
