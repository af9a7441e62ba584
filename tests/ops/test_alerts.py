"""The alerts: made of metrics that there are, and raised when they should be."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "what", [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]]
)
def test_prometheus_takes_them(what: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *what], cwd=RULES, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
