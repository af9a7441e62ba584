"""Agents as child processes of the leader: up and down with the work, and what deaths cost."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from deaths_support import deaths, spread
from line_support import Line, order
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from rtb.client import Summary
from rtb.sandbox.proc import identity

ensure = pytest_twisted.ensureDeferred
RTB = Path(sys.executable).with_name("rtb")


@pytest.fixture
def launched(line: Line) -> Iterator[Line]:
    """A line whose leader starts agents; none is left when the test ends."""
    line.environment |= {
        "RTB_LAUNCHER": "local",
        "RTB_AGENTS": "0:3",
        "RTB_AGENTS_QUIET": "2",
        "RTB_AGENT_SLOTS": "2",
        "RTB_AGENTS_LOG": str(line.directory / "agents"),
        "RTB_WORKLOADS": "default=coinflip:error=0,seconds=30",
        # Nobody is taken for lost because the machine has much to do.
        "RTB_EPOCH": "10",
    }
    yield line
    for pid in agents_of(line):
        os.kill(pid, signal.SIGKILL)


def agents_of(line: Line) -> list[int]:
    """Return the agents that run with this test's database in mind: by their log directory."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError), open(f"/proc/{entry.name}/cmdline", "rb") as file:
                if b"rtb-agent" in file.read():
                    with open(f"/proc/{entry.name}/environ", "rb") as environ:
                        variables = environ.read().split(b"\0")
                    mine = f"RTB_AMQP_URL={line.environment['RTB_AMQP_URL']}".encode()
                    if mine in variables and identity(int(entry.name)):
                        found.append(int(entry.name))
    return found


def launcher(summary: Summary) -> dict[str, Any]:
    return summary.leaders[0].launcher if summary.leaders else {}


def running(summary: Summary) -> int:
    return int(launcher(summary).get("running", -1))


async def no_agents(line: Line, limit: float = 60.0) -> None:
    until = time.monotonic() + limit
    while agents_of(line):
        assert time.monotonic() < until, line.logs()
        await deferLater(line.reactor, 0.1, lambda: None)


async def start(line: Line, *, units: int) -> Any:
    line.start("rtb-api")
    leader = line.start("rtb-leader")
    await line.until(lambda summary: bool(launcher(summary)))
    await line.client.place(order(units))
    await line.client.go()
    return leader


def kinds(line: Line) -> dict[str, int]:
    return dict(line.sql("SELECT kind::text, count(*) FROM history GROUP BY kind"))


@ensure
async def test_agents_come_with_the_work_and_go_after_it(launched: Line) -> None:
    line = launched
    gate = line.gate()
    await start(line, units=20)
    await line.until(lambda summary: running(summary) == 3 and summary.units.processing == 6)
    # Who they are comes with the next full report.
    there = "SELECT count(*) FROM agents WHERE container <> ''"
    await line.until(lambda _: line.sql(there) == [(3,)])
    listed = await deferToThread(
        subprocess.run, [str(RTB), "agents", "list"], env=line.environment, check=True,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "box outbox, launcher local: 3 wanted" in listed.stdout
    assert listed.stdout.count(" local-") == 3
    gate.touch()
    await line.until_settled(20)
    ((unit,),) = line.sql("SELECT max(id) FROM units")
    (ran,) = [e for e in (await line.client.unit(unit))["history"] if e["kind"] == "processing"]
    assert "2 slots" in Path(ran["log"]).read_text()
    assert f"{ran['container']}.log" == Path(ran["log"]).name
    await line.until(lambda summary: running(summary) == 0 and launcher(summary)["leaving"] == 0)
    await no_agents(line)
    assert kinds(line) == {"claimed": 20, "queued": 20, "processing": 20, "success": 20}
    # And up again, from nothing.
    await line.client.place(order(10))
    await line.until_settled(30)
    # One that has not said hello is not told that its leader ends.
    await line.until(lambda summary: launcher(summary)["starting"] == 0)
    await line.end()
    await no_agents(line)
    line.check()


@ensure
async def test_a_killed_agent_is_seen_at_once(launched: Line) -> None:
    line = launched
    line.environment["RTB_AGENTS"] = "1:1"
    await start(line, units=2)
    await line.until(lambda summary: summary.units.processing == 2)
    (victim,) = agents_of(line)
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    await line.until(lambda _: kinds(line).get("lost") == 2)
    assert time.monotonic() - began < 5, "three epochs are 30 s: only a witness is as quick"
    assert line.sql("SELECT DISTINCT losses FROM units") == [(1,)]
    await line.until(lambda summary: summary.units.processing == 2)


@ensure
async def test_one_that_is_ended_by_others_is_not_to_blame_for_what_it_left(launched: Line) -> None:
    """As a cluster ends what it takes back: SIGTERM, and SIGKILL 250 ms later."""
    line = launched
    line.environment["RTB_AGENTS"] = "1:1"
    await start(line, units=2)
    await line.until(lambda summary: summary.units.processing == 2)
    (victim,) = agents_of(line)
    os.kill(victim, signal.SIGTERM)
    await deferLater(line.reactor, 0.25)
    os.kill(victim, signal.SIGKILL)
    await line.until(lambda _: kinds(line).get("returned") == 2)
    assert line.sql("SELECT DISTINCT losses FROM units") == [(0,)]
    await line.until(lambda summary: summary.units.processing == 2)


@ensure
async def test_the_next_leader_adopts_what_a_killed_one_left(launched: Line) -> None:
    line = launched
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=90"
    line.environment["RTB_AGENTS"] = "0:2"
    leader = await start(line, units=4)
    await line.until(lambda summary: summary.units.processing == 4)
    before = set(agents_of(line))
    await leader.end(signal.SIGKILL)
    leader = line.start("rtb-leader")
    await line.until(lambda _: line.sql("SELECT count(*) FROM incarnations") == [(2,)])
    await line.until(lambda summary: running(summary) == 2)
    assert set(agents_of(line)) == before
    assert kinds(line).get("lost", 0) == 0
    # Their end is seen as that of children is.
    os.kill(before.pop(), signal.SIGKILL)
    await line.until(lambda _: kinds(line).get("lost") == 2)
    assert "rescued" not in kinds(line)
    await line.until(lambda summary: summary.units.processing == 4)


@ensure
async def test_agents_that_cannot_start_are_tried_again_later_and_shown(launched: Line) -> None:
    line = launched
    line.environment["RTB_WORKLOADS"] = "default=python:no.such:thing"
    began = time.monotonic()
    await start(line, units=10)
    summary = await line.until(lambda summary: bool(launcher(summary)["problem"]))
    assert "ended before it said hello" in launcher(summary)["problem"]
    await deferLater(line.reactor, 4.0, lambda: None)
    logs = list((line.directory / "agents").iterdir())
    # Three at first, and then one at a time, 1, 2, 4 ... s after the last has failed.
    assert len(logs) <= 3 + math.log2(time.monotonic() - began + 1) + 1


@ensure
async def test_alone_and_idle_an_agent_ends(launched: Line) -> None:
    line = launched
    agent = line.start("rtb-agent", AGENT_ALONE="2")
    assert await agent.life.ended.addTimeout(60, line.reactor) == 0
    assert "no leader for" in agent.log.read_text()


@pytest.mark.long
@ensure
async def test_units_of_a_killed_agent_wait_again_within_1_s(
    launched: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    line = launched
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=900"
    line.environment["RTB_AGENTS"] = "4:4"
    await start(line, units=1)
    took = await deaths(line, lambda: agents_of(line), count=20, each=2, all_busy=8)
    with capsys.disabled():
        print(f"\nunits of a killed local agent wait again, {spread(took)}")
    assert took[18] <= 1, took
