"""What a new leader does not know yet: whether what it finds was given up, and of which ledger."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from signal import SIGKILL

import pytest_twisted
from line_support import Line
from twisted.internet.task import deferLater

from rtb.chaos import errand
from rtb.chaos.evidence import read_executions


@pytest_twisted.ensureDeferred
async def test_none_of_them_runs(line: Line, tmp_path: Path) -> None:
    executions = tmp_path / "executions"
    executions.touch()
    words = [sys.executable, "-I", "-S", errand.__file__, str(executions)]
    line.environment["RTB_WORKLOADS"] = f"default=command:{shlex.join(words)}"
    line.environment["RTB_BROADCAST_MAX_QUEUE"] = "10"
    line.start("rtb-api")
    leader = line.start("rtb-leader")
    agent = line.start("rtb-agent")
    await line.until_led()
    units = [{"payload": {"seconds": 0.05, "end": "success"}} for _ in range(20)]
    await line.client.place({"units": units})
    await agent.end()
    await line.until_led(agents=0)
    await leader.end(SIGKILL)
    # At once: nothing is claimed for a leader that has been silent for two epochs.
    await line.client.go()
    await line.until(lambda summary: summary.units.sent == 10)
    await line.until(lambda summary: summary.units.waiting == 20)
    line.start("rtb-leader")
    line.start("rtb-agent")
    await line.until_settled(20)
    await line.end()
    line.check()
    lines = read_executions(executions.read_text().splitlines())
    starts = {(entry.unit, entry.attempt) for entry in lines if entry.word == "start"}
    kept = line.sql("SELECT unit_id, attempt FROM events WHERE kind = 'success'")
    assert starts == set(kept), "what had been given up ran"
    assert line.sql("SELECT count(*) FROM units WHERE attempt > 1") == [(10,)]


@pytest_twisted.ensureDeferred
async def test_one_without_a_ledger_costs_no_running_unit(line: Line) -> None:
    """The API is away when a leader begins; the leader asks agents whether they are there."""
    api = line.start("rtb-api")
    leader = line.start("rtb-leader")
    line.start("rtb-agent", WORKLOADS="default=coinflip:error=0,seconds=8")
    await line.until_led()
    await line.client.place({"units": ["long"]})
    await line.client.go()
    await line.until(lambda summary: summary.units.processing == 1)
    await api.end(SIGKILL)
    await leader.end(SIGKILL)
    line.start("rtb-leader")
    await deferLater(line.reactor, 4.0, lambda: None)
    line.start("rtb-api")
    await line.until_settled(1)
    await line.end()
    line.check()
    assert line.sql("SELECT attempt, status::text FROM units") == [(1, "success")]
