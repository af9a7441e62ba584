"""Every route of a running API, asked what its description allows and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest_twisted
import requests
import schemathesis
from schemathesis.specs.openapi import checks
from twisted.internet.threads import deferToThread

from rtb.settings import Broker, Database
from tests.system.line_support import Line

#: What an operation is asked, at most; the same questions in every run.
EXAMPLES = 25
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
NEGATIVE = schemathesis.GenerationMode.NEGATIVE
#: Watching never ends: tests/api/test_live.py asks it.
ENDLESS = "/events"


def fuzz(url: str) -> list[str]:
    """Return what was asked; the first answer that is not as described fails."""
    schema = schemathesis.openapi.from_dict(requests.get(f"{url}/openapi.json", timeout=60).json())
    schema.config.base_url = url
    asked = []
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        asked.append(f"{operation.method.upper()} {operation.path}")

        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy() | operation.as_strategy(NEGATIVE))
        def ask(case: Any) -> None:
            case.validate_response(case.call(timeout=60), checks=CHECKS)

        ask()
    return asked


@pytest_twisted.ensureDeferred
async def test_whatever_is_asked_the_answer_is_as_described(
    reactor: Any, database: Database, vhost: Broker, tmp_path: Path
) -> None:
    line = Line(reactor, database, vhost, tmp_path)
    try:
        line.start("rtb-api")
        await line.until(lambda summary: summary.units.total == 0)
        order = {"units": [{"name": "a", "payload": {"x": 1}}, "b"], "labels": {"k": "v"}}
        await line.client.place(order)
        asked = await deferToThread(fuzz, f"http://127.0.0.1:{line.port}")
        described = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
        assert {*asked, f"GET {ENDLESS}"} == {
            f"{method.upper()} {path}"
            for path, said in described["paths"].items()
            for method in said
        }
    finally:
        await line.end()
    line.check()
