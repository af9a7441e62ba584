"""The alerts: made of metrics that there are, and raised when they should be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"


def test_they_are_made_of_metrics_that_there_are() -> None:
    documented = set(
        re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE)
    )
    used = set(re.findall(r"\b(?:rtb|python)_[a-z_]+", (RULES / "rules.yml").read_text()))
    plain = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in used}
    assert plain
    assert plain <= documented


@pytest.mark.parametrize(
    "what", [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]]
)
def test_prometheus_takes_them(promtool: Any, what: list[str]) -> None:
    promtool(*what, cwd=RULES)


def test_each_alert_has_its_page_and_points_to_it() -> None:
    alerts = re.findall(r"- alert: (\w+)", (RULES / "rules.yml").read_text())
    runbooks = re.findall(r"^## (\w+)$", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE)
    assert runbooks == alerts
    points = re.findall(r"runbook: docs/alerts.md#(\w+)", (RULES / "rules.yml").read_text())
    assert points == [alert.lower() for alert in alerts]
