"""Each role gives way to a new process while units run, in the order of docs/how-to/upgrade.md."""

from __future__ import annotations

import pytest_twisted
from line_support import Line, order

UNITS = 300


@pytest_twisted.ensureDeferred
async def test_no_unit_runs_twice_fails_or_is_lost(line: Line) -> None:
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=0.3"
    line.environment["RTB_EPOCH"] = "5"
    old = {role: line.start(role) for role in ("rtb-api", "rtb-leader", "rtb-agent")}
    other = line.start("rtb-agent")
    await line.until_led(agents=2)
    await line.client.place(order(UNITS))
    await line.client.go()
    await line.until(lambda summary: summary.units.settled >= 10)

    assert await old["rtb-api"].end() == 0
    line.start("rtb-api")
    # The next leader stands by before the old one ends.
    line.start("rtb-leader")
    await line.until_led(agents=2)
    assert await old["rtb-leader"].end() == 0
    await line.until_led(agents=2)
    for agent in (old["rtb-agent"], other):
        line.start("rtb-agent")
        assert await agent.end(within=20.0) == 0

    summary = await line.until_settled(UNITS)
    assert summary.units.success == UNITS
    twice = "SELECT unit_id FROM history WHERE kind = 'processing' GROUP BY 1 HAVING count(*) > 1"
    assert line.sql(twice) == []
    assert line.sql("SELECT count(*) FROM units WHERE failures + losses > 0") == [(0,)]
    await line.end()
    line.check()
