"""The whole line with agents in containers of a real YARN cluster."""

from __future__ import annotations

import os
import signal
import time

import pytest
import pytest_twisted
from line_support import order
from yarn_support import YarnLine, running, shown

pytestmark = pytest.mark.yarn
ensure = pytest_twisted.ensureDeferred


@ensure
async def test_agents_come_with_the_work_and_go_after_it(yarn_line: YarnLine) -> None:
    line = yarn_line.line
    await yarn_line.start(units=120, YARN_IDLE="3")
    summary = await line.until(lambda summary: running(summary) == 2)
    launched = summary.leaders[0].launched
    assert all(agent["container"].startswith("container_") for agent in launched)
    await line.until_settled(120)
    await line.until(lambda summary: running(summary) == 0 and not shown(summary)["leaving"])
    await yarn_line.until_removed()
    assert yarn_line.kinds() == {"claimed": 120, "queued": 120, "processing": 120, "success": 120}
    await yarn_line.until_service(lambda service: service is None)
    # And from nothing again.
    await line.client.place(order(4))
    await line.until_settled(124)
    await line.end()
    line.check()


@ensure
async def test_a_killed_agent_is_witnessed_and_replaced(yarn_line: YarnLine) -> None:
    line = yarn_line.line
    await yarn_line.start(units=2, AGENTS="1:1", WORKLOADS="default=coinflip:error=0,seconds=60")
    await line.until(lambda summary: summary.units.processing == 2)
    (victim,) = yarn_line.agents()
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    await line.until(lambda summary: summary.units.processing == 0)
    took = time.monotonic() - began
    assert yarn_line.kinds()["lost"] == 2
    assert took < 8, "epochs are 10 s: only a witness is as quick"
    await line.until(lambda summary: summary.units.processing == 2)
    # Ended by an error of its own it is started again in the same container.
    (victim,) = yarn_line.agents()
    os.kill(victim, signal.SIGABRT)
    await line.until(lambda _: yarn_line.kinds()["lost"] == 4)
    await line.until(lambda summary: summary.units.processing == 2)
