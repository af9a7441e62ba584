"""The whole line with agents in containers of a real YARN cluster."""

from __future__ import annotations

import os
import signal
import time

import pytest
import pytest_twisted
from line_support import order
from yarn_support import YarnLine, running, shown

from rtb.leader.yarn.answers import Service

# One cluster for all of them, also where tests run in several processes.
pytestmark = [pytest.mark.yarn, pytest.mark.xdist_group("yarn")]
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


@pytest.mark.long
@ensure
async def test_the_death_of_the_application_master_costs_no_unit(yarn_line: YarnLine) -> None:
    line = yarn_line.line
    await yarn_line.start(units=4, WORKLOADS="default=coinflip:error=0,seconds=25")
    await line.until(lambda summary: summary.units.processing == 4)
    agents = yarn_line.agents()
    master = yarn_line.application_master()
    os.kill(master, signal.SIGKILL)
    await line.until(lambda _: yarn_line.masters() not in ([], [master]))
    await yarn_line.until_service(lambda service: service and len(living(service)) == 2)
    assert yarn_line.agents() == agents, line.logs()
    await line.until_settled(4)
    assert yarn_line.kinds() == {"claimed": 4, "queued": 4, "processing": 4, "success": 4}


@pytest.mark.long
@ensure
async def test_the_death_of_the_resource_manager_and_the_leader_costs_no_unit(
    yarn_line: YarnLine,
) -> None:
    """The other ResourceManager takes over; the next leader adopts the service and its agents."""
    line, cluster = yarn_line.line, yarn_line.cluster
    leader = await yarn_line.start(units=4, WORKLOADS="default=coinflip:error=0,seconds=35")
    await line.until(lambda summary: summary.units.processing == 4)
    agents = yarn_line.agents()
    active = await cluster.active()
    assert active is not None
    cluster.managers[active].signal(signal.SIGKILL)
    await leader.end(signal.SIGKILL)
    line.start("rtb-leader")
    await line.until(lambda _: line.sql("SELECT count(*) FROM incarnations") == [(2,)])
    await line.until(lambda summary: running(summary) == 2)
    assert yarn_line.agents() == agents, line.logs()
    await cluster.start_manager(active)
    await line.until_settled(4)
    assert yarn_line.kinds() == {"claimed": 4, "queued": 4, "processing": 4, "success": 4}
    # Whoever is active, and whoever leads: agents still go when the work is done.
    await line.until(lambda summary: running(summary) == 0)
    await yarn_line.until_removed()
    await line.end()
    line.check()


@pytest.mark.long
@ensure
async def test_a_lost_node_proves_nothing(yarn_line: YarnLine) -> None:
    """Its processes run on, finish what they have, and are told to leave."""
    line, cluster = yarn_line.line, yarn_line.cluster
    await yarn_line.start(
        units=2,
        AGENTS="2:2",
        AGENT_SLOTS="1",
        WORKLOADS="default=coinflip:error=0,seconds=60",
    )
    await line.until(lambda summary: summary.units.processing == 2)
    agents = yarn_line.agents()
    nodes = [node for node in cluster.ports if str(node.address) in agents.values()]
    victim = next(
        node for node in nodes if not yarn_line.has_master(cluster.nodes[node.number - 1])
    )
    cluster.nodes[victim.number - 1].signal(signal.SIGKILL)
    (left, *_) = [pid for pid, port in agents.items() if port == str(victim.address)]
    # Its container is given up and replaced elsewhere while it still runs its unit.
    await yarn_line.until_service(lambda service: left_alone(service, agents, yarn_line), limit=70)
    assert left in yarn_line.agents()
    await line.until_settled(2, limit=180)
    assert yarn_line.kinds() == {"claimed": 2, "queued": 2, "processing": 2, "success": 2}
    await cluster.start_node(victim.number - 1)
    await line.end()
    line.check()


def living(service: Service) -> list[str]:
    return [c.id for c in service.agents.containers if c.lives] if service.agents else []


def left_alone(service: object, agents: dict[int, str], yarn_line: YarnLine) -> bool:
    """Is there a third process, the replacement?"""
    return len(yarn_line.agents()) > len(agents)


@ensure
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"YARN_QUEUE": "nowhere"}, "queue"),
        ({"YARN_MEMORY": "100000"}, "larger than configured"),
        ({"YARN_MEMORY": "3000", "AGENTS": "3:3"}, "no room"),
    ],
)
async def test_what_cannot_work_is_said_in_words(
    yarn_line: YarnLine, settings: dict[str, str], said: str
) -> None:
    line = yarn_line.line
    await yarn_line.start(units=1, **settings)
    summary = await line.until(lambda summary: bool(shown(summary)["problem"]), limit=90)
    assert said in shown(summary)["problem"], shown(summary)["problem"]
    assert "Traceback" not in line.logs()
