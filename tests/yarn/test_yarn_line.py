"""The whole line with agents in containers of a real YARN cluster."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise

import pytest
import pytest_twisted
from line_support import order
from twisted.internet.task import deferLater
from yarn_support import YarnLine, running, shown

from rtb.leader.yarn.answers import Service

# One cluster for all of them, also where tests run in several processes.
pytestmark = [pytest.mark.yarn, pytest.mark.xdist_group("yarn")]
ensure = pytest_twisted.ensureDeferred


@ensure
async def test_agents_come_with_the_work_go_after_it_and_are_replaced(yarn_line: YarnLine) -> None:
    line = yarn_line.line
    # YARN copies a file into each container; no node has it, nor is it on any path.
    shipped = line.directory / "shipped.py"
    shipped.write_text("def double(unit):\n    return 2 * unit.payload\n")
    await yarn_line.start(
        units=120,
        YARN_IDLE="1",
        YARN_FILES=str(shipped),
        YARN_ENV=f"{line.environment['RTB_YARN_ENV']}:.",
        WORKLOADS="default=coinflip:error=0,seconds=0.2;long=coinflip:error=0,seconds=15;"
        "shipped=python:shipped:double;endless=coinflip:error=0,seconds=600",
    )
    await _come_and_go(yarn_line)
    # And from nothing again.
    await line.client.place({"units": [{"payload": 21}], "workload": "shipped"})
    await line.until_settled(122)
    assert line.sql("SELECT result FROM units ORDER BY id DESC LIMIT 1") == [(42,)]
    await _is_witnessed_and_replaced(yarn_line)
    await line.end()
    line.check()


async def _come_and_go(yarn_line: YarnLine) -> None:
    line = yarn_line.line
    summary = await line.until(lambda summary: running(summary) == 2)
    launched = summary.leaders[0].launched
    assert all(agent["container"].startswith("container_") for agent in launched)
    await line.client.place(order(1, workload="long"))
    # One goes, SIGKILL 250 ms after SIGTERM, while the other works.
    await line.until(lambda summary: running(summary) == 1 and not shown(summary)["leaving"])
    assert (await line.client.status()).units.processing == 1
    await line.until_settled(121)
    await line.until(lambda summary: running(summary) == 0 and not shown(summary)["leaving"])
    await yarn_line.until_removed()
    assert yarn_line.kinds() == dict.fromkeys(("claimed", "queued", "processing", "success"), 121)
    # Its container has gone, and its log can still be read.
    ((unit,),) = line.sql("SELECT max(id) FROM units")
    (ran,) = [e for e in (await line.client.unit(unit))["history"] if e["kind"] == "processing"]
    assert ran["container"].startswith("container_")
    await yarn_line.until_log(ran["log"], "twistd .* starting up")
    await yarn_line.until_service(lambda service: service is None)


async def _is_witnessed_and_replaced(yarn_line: YarnLine) -> None:
    """An agent that is killed."""
    line = yarn_line.line
    endless = await line.client.place(order(2, workload="endless"))
    await line.until(lambda summary: summary.units.processing == 2)
    (victim,) = yarn_line.agents()
    began = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    await line.until(lambda summary: summary.units.processing == 0)
    took = time.monotonic() - began
    assert yarn_line.kinds()["lost"] == 2
    assert took < 8, "epochs are 10 s: only a witness is as quick"
    summary = await line.until(
        lambda summary: summary.units.processing == 2 and len(summary.leaders[0].launched) == 1
    )
    # What runs can be read as well.
    (agent,) = summary.leaders[0].launched
    await yarn_line.until_log(agent["log"], "twistd .* starting up")
    # Ended by an error of its own it is started again in the same container.
    (victim,) = yarn_line.agents()
    os.kill(victim, signal.SIGABRT)
    await line.until(lambda _: yarn_line.kinds()["lost"] == 4)
    await line.until(lambda summary: summary.units.processing == 2)
    await line.client.change_order(endless["id"], "cancel")
    await line.until(lambda summary: summary.units.cancelled == 2)


@pytest.mark.long
@ensure
async def test_the_death_of_the_application_master_costs_no_unit(yarn_line: YarnLine) -> None:
    """Its containers are in the registry (READY comes after that): the next one keeps them."""
    line = yarn_line.line
    await yarn_line.start(units=4, WORKLOADS="default=coinflip:error=0,seconds=40")
    await line.until(lambda summary: summary.units.processing == 4)
    await yarn_line.until_service(lambda service: service and states(service) == ["READY"] * 2)
    agents = yarn_line.agents()
    await yarn_line.kill_master()
    await yarn_line.until_service(lambda service: service and len(living(service)) == 2)
    assert yarn_line.agents() == agents, line.logs()
    await line.until_settled(4, limit=120)
    assert yarn_line.kinds() == {"claimed": 4, "queued": 4, "processing": 4, "success": 4}
    await line.end()
    line.check()


@pytest.mark.long
@ensure
async def test_the_early_death_of_the_application_master_loses_no_unit(
    yarn_line: YarnLine,
) -> None:
    """It had no time to note its containers: the next one ends and replaces them."""
    line = yarn_line.line
    await yarn_line.start(units=4, WORKLOADS="default=coinflip:error=0,seconds=25")
    await yarn_line.until_service(
        lambda service: service and states(service) == ["RUNNING_BUT_UNREADY"] * 2
    )
    await yarn_line.kill_master()
    await line.until_settled(4, limit=240)
    kinds = yarn_line.kinds()
    # Whether it had the time is the machine's affair: tried again or not, nobody is to blame.
    assert "lost" not in kinds
    assert kinds["success"] == 4
    await line.end()
    line.check()


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
    """Its processes run on, finish what they have, and each unit has its one outcome."""
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
    # What YARN does about it, and when, is its own affair: what matters comes of the units.
    await yarn_line.until_node(victim.address, "LOST")
    left = {pid for pid, port in agents.items() if port == str(victim.address)}
    assert left <= set(yarn_line.agents())
    await line.until_settled(2, limit=240)
    assert yarn_line.kinds() == {"claimed": 2, "queued": 2, "processing": 2, "success": 2}
    await cluster.start_node(victim.number - 1)
    await line.end()
    line.check()


@pytest.mark.long
@ensure
async def test_units_go_on_while_no_resource_manager_is_there(yarn_line: YarnLine) -> None:
    """For 60 s: what runs, runs, what waits is handed out; then the service is as it was."""
    line, cluster = yarn_line.line, yarn_line.cluster
    await yarn_line.start(units=2000, WORKLOADS="default=coinflip:error=0,seconds=0.2")
    await line.until(lambda summary: running(summary) == 2 and summary.units.settled > 0)
    agents = yarn_line.agents()
    for manager in cluster.managers:
        manager.signal(signal.SIGKILL)
    settled = []
    for _ in range(6):
        await deferLater(line.reactor, 10.0)
        settled.append((await line.client.status()).units.settled)
    summary = await line.client.status()
    assert "no ResourceManager is there" in shown(summary)["problem"]
    for number, _ in enumerate(cluster.managers):
        await cluster.start_manager(number)
    assert all(later - earlier > 50 for earlier, later in pairwise(settled)), settled
    await yarn_line.until_service(lambda service: service and len(living(service)) == 2)
    assert yarn_line.agents() == agents, line.logs()
    await line.until(lambda summary: not shown(summary)["problem"])
    assert "lost" not in yarn_line.kinds()


def living(service: Service) -> list[str]:
    return [c.id for c in service.agents.containers if c.lives] if service.agents else []


def states(service: Service) -> list[str]:
    return [c.state for c in service.agents.containers if c.lives] if service.agents else []
