"""Very small runs through the bench, on real servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted
from race.course import Course
from race.entries import Place, Rtb, Wire

from rtb.sandbox import Sandbox


@pytest_twisted.ensureDeferred
async def test_rtb_runs_and_is_measured(reactor: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    place = Place(reactor=reactor, sandbox=sandbox, directory=tmp_path)
    entry = Rtb(place, "race_smoke", capacity=50, slots=8)
    try:
        await entry.begin()
        course = Course(entry)
        try:
            singles = await course.singles(3)
            found = await course.many(300)
            ((done,),) = course.sql(entry.done)
        finally:
            course.close()
    finally:
        await entry.end()
    assert done >= 303
    assert 0 < singles["idle_p50_ms"] <= singles["idle_p99_ms"]
    assert 0 < found["units_s"] < found["intake_s"]
    processes = {"client", "API", "leader", "agent", "PostgreSQL", "RabbitMQ"}
    assert found["cpu_us_per_unit"].keys() == found["rss_mb"].keys() == processes
    assert found["cpu_us_per_unit"]["API"] > 0
    assert found["rss_mb"]["agent"] > 10


@pytest_twisted.ensureDeferred
async def test_the_wire_is_measured_by_the_same_client(
    reactor: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    entry = Wire(Place(reactor=reactor, sandbox=sandbox, directory=tmp_path), "race_wire")
    try:
        await entry.begin()
        course = Course(entry)
        try:
            singles = await course.singles(3)
            ((done,),) = course.sql(entry.done)
        finally:
            course.close()
        assert len(entry.tops()["worker"]) == 3
    finally:
        await entry.end()
    assert done >= 3
    assert 0 < singles["idle_p50_ms"] <= singles["idle_p99_ms"]
