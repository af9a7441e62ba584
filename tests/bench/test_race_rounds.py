"""Who runs when, and what is printed: the race without servers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import pytest_twisted
from race import __main__ as race
from race.entries import Place

FOUND = {
    "units_s": 100.0, "cpu_ms_per_unit": 1.0, "idle_p50_ms": 2.0, "idle_p99_ms": 3.0,
    "intake_s": 5.0,
}  # fmt: skip


async def _rounds(monkeypatch: pytest.MonkeyPatch, reactor: Any, until: float) -> race.Race:
    async def once(self: race.Race, name: str, number: int) -> dict[str, Any]:
        return dict(FOUND)

    monkeypatch.setattr(race.Race, "_once", once)
    given = race.options(["--only", "rtb", "celery", "intake"])
    given.until = until
    found = race.Race(Place(reactor=reactor, sandbox=None, directory=None), given, {})  # type: ignore[arg-type]
    await found.run()
    return found


@pytest_twisted.ensureDeferred
async def test_all_run_in_turn_and_what_is_not_installed_does_not(
    reactor: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await _rounds(monkeypatch, reactor, time.monotonic() + 3600)
    assert {name: len(runs) for name, runs in found.runs.items()} == {"rtb": 3, "intake": 3}
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["run"] for line in said] == ["rtb", "intake"] * 3
    assert [line["round"] for line in said] == [1, 1, 2, 2, 3, 3]


@pytest_twisted.ensureDeferred
async def test_a_round_that_would_end_too_late_is_left_out(
    reactor: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await _rounds(monkeypatch, reactor, time.monotonic() - 1)
    assert {name: len(runs) for name, runs in found.runs.items()} == {"rtb": 1, "intake": 1}
    assert "ONLY 1 ROUNDS" in capsys.readouterr().err
