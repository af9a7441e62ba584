"""The description of the API for machines (OpenAPI 3.1), from the routes and the types."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, get_args

import attrs
import msgspec

from rtb.api.web import shapes
from rtb.model.intake import KINDS

if TYPE_CHECKING:
    from rtb.api.web.table import Route

__all__ = ["SAYS", "describe"]

_JSON = "application/json"
#: A part of a route's path that varies, with or without a converter.
_PARAMETER = re.compile(r"<(?:[^<>]*:)?(\w+)>")
_COMPONENTS = "#/components/schemas/{name}"
_WHOLE = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
_TEXT = {"type": "string"}
_QUERY: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "limit": ("How many, at most.", {"type": "integer", "minimum": 1, "maximum": 1000}),
    "cursor": ("What the page before said.", _TEXT),
    "status": ("Only units in this status.", {"enum": list(get_args(shapes.UnitStatus))}),
    "order": ("The order whose units are wanted, too.", _WHOLE),
    "window": ("How far back.", {"enum": ["5m", "1h", "24h"]}),
    "wait": ("Seconds to wait, at most 60, as 30 or 30s.", _TEXT),
    "until": ("What to wait for.", {"enum": ["done"]}),
    "account": ("Only orders of this account.", _TEXT),
    "loading": ("Those that load yet, in place of the others.", {"enum": ["true", "false"]}),
}


@attrs.frozen
class Says:
    """What a resource says, beyond what its route tells."""

    answer: type[Any] | None = None
    kinds: tuple[str, ...] = (_JSON,)
    status: int = 200
    #: Answered in place of it where nothing was done yet.
    also: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    body: type[Any] | None = None
    #: What else the body may be: lines, taken as they come.
    lines: tuple[str, ...] = ()
    #: Problems beside those that every route has.
    problems: tuple[int, ...] = ()


_LINES = "application/x-ndjson"
SAYS: Mapping[str, Says] = {
    "summary": Says(shapes.Summary, (_JSON, "text/html")),
    "page_file": Says(None, ("text/css", "text/javascript", "image/svg+xml"), problems=(404,)),
    "openapi": Says(None),
    "events": Says(None, ("text/event-stream",), query=("order",), problems=(403,)),
    "trace": Says(shapes.Trace, query=("window",)),
    "next_units": Says(shapes.NextUnits, query=("limit",)),
    "go": Says(shapes.Going, problems=(403, 415)),
    "stop": Says(shapes.Going, problems=(403, 415)),
    "place": Says(
        shapes.Placed,
        status=201,
        body=shapes.OrderToPlace,
        lines=tuple(sorted(KINDS)),
        problems=(403, 404, 409, 413, 415, 422, 429),
    ),
    "orders": Says(shapes.OrderPage, query=("limit", "cursor", "account", "loading")),
    "order": Says(shapes.OrderStory, query=("wait", "until"), problems=(404,)),
    "units": Says(
        shapes.UnitPage, (_JSON, _LINES), query=("status", "limit", "cursor"), problems=(404,)
    ),
    "unit": Says(shapes.UnitStory, problems=(404,)),
    "forecast": Says(shapes.Forecast, problems=(404,)),
    "fair": Says(shapes.Fair),
    "change_order": Says(
        shapes.Changed, status=202, body=shapes.Change, problems=(403, 404, 409, 415, 422)
    ),
    "change_units": Says(
        shapes.Changed,
        status=202,
        also=(200,),
        body=shapes.UnitsChange,
        problems=(403, 404, 409, 415, 422),
    ),
    "set_account": Says(shapes.Account, body=shapes.AccountToSet, problems=(403, 404, 415, 422)),
    "agents": Says(shapes.AgentList),
    "drain": Says(shapes.Drained, status=202, problems=(403, 404, 415)),
    "forget_leader": Says(shapes.Forgotten, problems=(403, 404, 409, 415)),
    "livez": Says(shapes.Alive),
    "readyz": Says(shapes.Ready),
    "metrics": Says(None, ("text/plain",)),
}
_PROBLEMS = {
    400: "A parameter, or the body, cannot be used.",
    403: "Asked for by another site.",
    404: "There is no such thing.",
    409: "It is in use.",
    413: "The body is too large.",
    429: "The account has as many open units as it may have.",
    415: "The body is not said to be JSON.",
    422: "It is JSON, but no order; `pointer` is the place.",
    503: "Something that this needs is away: try again.",
}


def describe(routes: tuple[Route, ...], resources: type[Any]) -> dict[str, Any]:
    """Return the description of *routes*, whose resources are methods of *resources*."""
    types = [says.answer for says in SAYS.values() if says.answer is not None]
    types += [says.body for says in SAYS.values() if says.body is not None]
    _, components = msgspec.json.schema_components(
        [*types, shapes.Problem], ref_template=_COMPONENTS
    )
    paths: dict[str, Any] = {}
    for route in routes:
        path = _PARAMETER.sub(r"{\1}", route.path)
        text = inspect.getdoc(getattr(resources, route.resource)) or ""
        for method in route.methods:
            paths.setdefault(path, {})[method.lower()] = _operation(route, method, text)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Red-Tailed Boa Broadcast",
            "version": version("rtb"),
            "summary": "Orders of units, handed out by fair use, every one accounted for.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, method: str, text: str) -> dict[str, Any]:
    says = SAYS[route.resource]
    summary, _, more = text.partition("\n")
    alone = route.methods == (method,)
    operation: dict[str, Any] = {
        "operationId": route.resource if alone else f"{route.resource}_{method.lower()}",
        "summary": summary,
        "responses": _responses(says),
    }
    if more.strip():
        operation["description"] = inspect.cleandoc(more)
    parameters = [_in_path(name) for name in _PARAMETER.findall(route.path)]
    parameters += [_in_query(name) for name in says.query]
    if parameters:
        operation["parameters"] = parameters
    if says.body is not None:
        content = {_JSON: {"schema": _reference(says.body)}}
        operation["requestBody"] = {
            "required": route.body,
            "content": content | {kind: {"schema": _TEXT} for kind in says.lines},
        }
    return operation


def _responses(says: Says) -> dict[str, Any]:
    schema = _reference(says.answer) if says.answer is not None else None
    content = {
        kind: {"schema": schema} if kind == _JSON and schema is not None else {}
        for kind in says.kinds
    }
    problem = {"application/problem+json": {"schema": _reference(shapes.Problem)}}
    well = {"description": "So it is.", "content": content}
    responses = dict.fromkeys(map(str, (says.status, *says.also)), well)
    for status in sorted({400, 503, *says.problems}):
        responses[str(status)] = {"description": _PROBLEMS[status], "content": problem}
    return responses


def _reference(kind: type[Any]) -> dict[str, str]:
    return {"$ref": _COMPONENTS.format(name=kind.__name__)}


def _in_path(name: str) -> dict[str, Any]:
    schema = _WHOLE if name == "id" else _TEXT
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str) -> dict[str, Any]:
    text, schema = _QUERY[name]
    return {"name": name, "in": "query", "description": text, "schema": schema}
