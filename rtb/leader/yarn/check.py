"""What a cluster lacks to run agents, in words: asked before anybody relies on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.task import deferLater

from rtb.leader.yarn.answers import Node, Service, YarnError
from rtb.leader.yarn.client import YarnClient
from rtb.leader.yarn.reconcile import foreign
from rtb.leader.yarn.spec import Plan

__all__ = ["Finding", "check"]

_LOOK_EVERY = 0.5
#: The first word for a shell: what is quoted in it stays quoted.
_WORD = re.compile(r"(?:'[^']*'|[^\s'])+")
#: Seconds that a container which only looks for the command may take.
_PATIENCE = 60.0
_API_OFF = (
    "the Services API is off: set yarn.webapp.api-service.enable=true in the ResourceManagers' "
    "yarn-site.xml, with hadoop.registry.zk.quorum naming a ZooKeeper, and start them again"
)


@attrs.frozen
class Finding:
    """One thing that was looked at."""

    what: str
    #: What is there; or, where it will not do, what to do about it.
    said: str
    good: bool = True


async def check(
    reactor: Any, managers: Sequence[str], user: str, plan: Plan, token: str
) -> list[Finding]:
    """Return what is found, as far as one thing lets the next be looked at.

    :param token: makes the name of the service that looks for the command
    """
    found = [await _manager(YarnClient(reactor, [manager], user)) for manager in managers]
    client = YarnClient(reactor, managers, user)
    try:
        if not await client.has_services():
            return [*found, Finding("Services API", _API_OFF, good=False)]
        found.append(Finding("Services API", "is on"))
        found.append(await _queue(client, plan.queue))
        found.append(_room(await client.nodes(), plan))
        found.append(_service(await client.service(plan.service), plan))
        if all(finding.good for finding in found[len(managers) :]):
            found.append(await _command(reactor, client, plan, token))
    except YarnError as problem:
        found.append(Finding("cluster", str(problem), good=False))
    return found


async def _manager(client: YarnClient) -> Finding:
    what = f"ResourceManager {client.manager}"
    try:
        info = await client.info()
    except YarnError as problem:
        return Finding(what, str(problem), good=False)
    return Finding(what, f"Hadoop {info.resourceManagerVersion}, {info.haState.lower()}")


async def _queue(client: YarnClient, queue: str) -> Finding:
    names = sorted(set(_queues(await client.scheduler())))
    if names and queue not in names and queue.rpartition(".")[2] not in names:
        said = f"there is no queue {queue}: set RTB_YARN_QUEUE to one of {', '.join(names)}"
        return Finding("queue", said, good=False)
    return Finding("queue", queue)


def _queues(tree: Any) -> list[str]:
    """Return the leaf queues, whichever scheduler the cluster has."""
    if isinstance(tree, list):
        return [name for item in tree for name in _queues(item)]
    if not isinstance(tree, dict):
        return []
    below = [name for value in tree.values() for name in _queues(value)]
    name = tree.get("queueName")
    return below or ([str(name)] if name else [])


def _room(nodes: dict[str, Node], plan: Plan) -> Finding:
    running = [node for node in nodes.values() if node.state == "RUNNING"]
    if not running:
        return Finding("room", "no NodeManager is running", good=False)
    memory = max(node.availMemoryMB + node.usedMemoryMB for node in running)
    cores = max(node.availableVirtualCores + node.usedVirtualCores for node in running)
    if plan.memory > memory or plan.cores > cores:
        said = (
            f"no node is as large as one agent ({plan.memory} MB, {plan.cores} cores): the largest "
            f"has {memory} MB and {cores} cores; lower RTB_YARN_MEMORY or RTB_YARN_CORES"
        )
        return Finding("room", said, good=False)
    now = sum(
        min(n.availMemoryMB // plan.memory, n.availableVirtualCores // plan.cores) for n in running
    )
    return Finding("room", f"{len(running)} nodes, with room for {now} agents now")


def _service(there: Service | None, plan: Plan) -> Finding:
    if there is None:
        return Finding("service", f"{plan.service} is not there yet, and made when it is needed")
    if foreign(there):
        said = f"{plan.service} is not one of rtb's: choose another RTB_YARN_SERVICE"
        return Finding("service", said, good=False)
    return Finding("service", f"{plan.service} is {there.state}")


async def _command(reactor: Any, client: YarnClient, plan: Plan, token: str) -> Finding:
    """Let a container look for the command where agents would."""
    command = plan.command.strip().removeprefix("exec ").lstrip()
    quoted = _WORD.match(command)
    word = quoted[0] if quoted else command.split()[0]
    name = f"rtb-check-{token}"
    looking = attrs.evolve(plan, service=name, command="true", lifetime=300)
    spec = looking.render(1)
    component = spec["components"][0]
    component["restart_policy"] = "NEVER"
    component["launch_command"] = f"command -v {word}"
    await client.create(spec)
    try:
        state = await _outcome(reactor, client, name)
    finally:
        await client.destroy(name)
    if state in ("SUCCEEDED", "STOPPED"):
        return Finding("command", f"{word} is there")
    if state == "FAILED":
        said = f"{word} is not there on the nodes, or may not be executed: set RTB_YARN_COMMAND"
        return Finding("command", said, good=False)
    said = f"no container came up within {_PATIENCE:g} s (the service is {state})"
    return Finding("command", said, good=False)


async def _outcome(reactor: Any, client: YarnClient, name: str) -> str:
    until = reactor.seconds() + _PATIENCE
    state = ""
    while reactor.seconds() < until:
        service = await client.service(name)
        state = service.state if service is not None else "gone"
        if state in ("SUCCEEDED", "FAILED"):
            return state
        await deferLater(reactor, _LOOK_EVERY, lambda: None)
    return state
