"""A figure that was promised: an agent's death in a container, and its units wait again."""

from __future__ import annotations

import pytest
import pytest_twisted
from deaths_support import deaths, spread
from yarn_support import YarnLine

pytestmark = [pytest.mark.yarn, pytest.mark.long, pytest.mark.xdist_group("yarn")]


@pytest_twisted.ensureDeferred
async def test_units_of_a_killed_agent_wait_again_within_4_s(
    yarn_line: YarnLine, capsys: pytest.CaptureFixture[str]
) -> None:
    await yarn_line.start(AGENTS="4:4", WORKLOADS="default=coinflip:error=0,seconds=900")
    took = await deaths(yarn_line.line, yarn_line.agents, count=20, each=2, all_busy=8)
    with capsys.disabled():
        print(f"\nunits of a killed agent in YARN wait again, {spread(took)}")
    assert took[18] <= 4, took
