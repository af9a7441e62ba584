"""The contract of YARN's REST APIs, call by call, against a real cluster and a few impostors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from yarn_support import Ending

from rtb.leader.yarn.answers import Away, Denied, Gibberish, Service
from rtb.leader.yarn.check import check
from rtb.leader.yarn.client import Unsure, YarnClient
from rtb.leader.yarn.spec import Plan
from rtb.sandbox.directory import free_port
from rtb.sandbox.yarn import YarnCluster

# One cluster for all of them, also where tests run in several processes.
pytestmark = [pytest.mark.yarn, pytest.mark.xdist_group("yarn")]
ensure = pytest_twisted.ensureDeferred


def plan(service: str, **changes: Any) -> Plan:
    return Plan(**{
        "service": service, "queue": "default", "memory": 128, "cores": 1,
        "command": "sleep 1000", "lifetime": 600, "environment": {"SPACED": "a b;c"}, **changes,
    })  # fmt: skip


async def until(reactor: Any, yarn: YarnClient, name: str, what: Any) -> Service:
    end = reactor.seconds() + 60
    while True:
        service = await yarn.service(name)
        if service is not None and what(service):
            return service
        assert reactor.seconds() < end, service
        await deferLater(reactor, 0.2, lambda: None)


def living(service: Service) -> list[str]:
    agents = service.agents
    return [c.component_instance_name for c in agents.containers if c.lives] if agents else []


@ensure
async def test_the_life_of_a_service(
    reactor: Any,
    cluster: YarnCluster,
    yarn: YarnClient,
    ending: Ending,
) -> None:
    sleeping = plan("rtb-test-sleeping")
    name = sleeping.service
    await yarn.create(sleeping.render(2))
    # Before it runs: refused in words, and kept.
    await yarn.scale(name, 3)
    service = await until(reactor, yarn, name, lambda service: len(living(service)) == 3)
    assert service.version == sleeping.version
    assert 500 < service.lifetime <= 600
    with pytest.raises(Denied, match="already taken"):
        await yarn.create(sleeping.render(1))
    await yarn.renew(name, 6000)
    await until(reactor, yarn, name, lambda service: service.lifetime > 600)
    # Twice, as after an answer that was lost: one fewer, not two.
    await yarn.decommission(name, ["agent-1"])
    await yarn.decommission(name, ["agent-1"])
    service = await until(reactor, yarn, name, lambda s: living(s) and len(living(s)) == 2)
    assert sorted(living(service)) == ["agent-0", "agent-2"]
    assert service.agents is not None
    assert service.agents.number_of_containers == 2
    nodes = await yarn.nodes()
    assert {node.state for node in nodes.values()} == {"RUNNING"}
    assert (await yarn.application(service.id)).state == "RUNNING"
    # Its name is nobody else's.
    other = YarnClient(reactor, [f"http://{where}" for where in cluster.addresses], "other")
    with pytest.raises(Denied, match="already taken"):
        await other.create(sleeping.render(1))
    # Without Kerberos that is all: what runs can be seen, and ended, by whoever names it.
    assert await other.service(name) is not None
    ending(yarn.destroy(name))


@ensure
async def test_what_is_not_there(yarn: YarnClient) -> None:
    assert await yarn.service("rtb-no-such") is None
    await yarn.destroy("rtb-no-such")
    with pytest.raises(Denied):
        await yarn.scale("rtb-no-such", 1)
    with pytest.raises(Denied):
        await yarn.create({"nope": 1})
    assert await yarn.has_services()


@ensure
async def test_each_order_of_the_managers_finds_the_active_one(
    reactor: Any, cluster: YarnCluster
) -> None:
    managers = [f"http://{where}" for where in cluster.addresses]
    nobody = f"http://127.0.0.1:{free_port()}"
    for order in (managers, managers[::-1], [nobody, *managers]):
        assert await YarnClient(reactor, order, "rtb").has_services()
    active = await cluster.active()
    assert active is not None
    with pytest.raises(Away, match="stands by"):
        await YarnClient(reactor, [managers[1 - active]], "rtb").service("rtb-x")
    with pytest.raises(Away, match="cannot be reached"):
        await YarnClient(reactor, [nobody], "rtb").service("rtb-x")


class _Impostor(Resource):
    isLeaf = True

    def __init__(self, code: int, body: bytes) -> None:
        super().__init__()
        self._answer = code, body

    def render(self, request: Any) -> Any:
        code, body = self._answer
        if not code:
            request.transport.abortConnection()
            return NOT_DONE_YET
        request.setResponseCode(code)
        return body


@ensure
@pytest.mark.parametrize(
    ("code", "body", "problem"),
    [
        (200, b"<html>welcome</html>", Gibberish),
        (200, b"There is no active RM right now.", Gibberish),
        (200, b'{"name": 5}', Gibberish),
        (200, b"[]", Gibberish),
        (404, b"not here", Denied),
        (404, b'{"RemoteException": {"message": "no such thing"}}', Denied),
        (500, b'{"diagnostics": "broken"}', Denied),
        (307, b"This is standby RM.", Away),
        (0, b"", Away),
    ],
)
async def test_odd_answers_are_errors_of_ours(
    reactor: Any, code: int, body: bytes, problem: type[Exception]
) -> None:
    port = reactor.listenTCP(0, Site(_Impostor(code, body)), interface="127.0.0.1")
    client = YarnClient(reactor, [f"http://127.0.0.1:{port.getHost().port}"], "rtb")
    try:
        with pytest.raises(problem):
            await client.service("rtb-x")
        with pytest.raises(Exception) as refused:  # noqa: PT011
            await client.create({})
        # Cut off, it may have been made: that is for the next look to say.
        assert isinstance(refused.value, (Away, Denied))
        assert isinstance(refused.value, Unsure) == (code == 0)
    finally:
        await maybeDeferred(port.stopListening)


@ensure
async def test_check_tells_what_lacks(
    reactor: Any, cluster: YarnCluster, public_directory: Path
) -> None:
    spaced = public_directory / "an agent"
    spaced.touch(mode=0o755)
    managers = [f"http://{where}" for where in cluster.addresses]

    async def lacks(token: str, where: list[str] = managers, **changes: Any) -> dict[str, str]:
        found = await check(reactor, where, "rtb", plan("rtb-test-check", **changes), token)
        return {finding.what: finding.said for finding in found if not finding.good}

    assert "one of default" in (await lacks("b", queue="nowhere"))["queue"]
    assert "RTB_YARN_MEMORY" in (await lacks("c", memory=1_000_000))["room"]
    # A container of each looks for the command, also for one of two words that are one.
    nothing, missing = await gatherResults([
        Deferred.fromCoroutine(lacks("a", command=f"'{spaced}' -n")),
        Deferred.fromCoroutine(lacks("d", command="/no/such/twistd -n")),
    ])  # fmt: skip
    assert nothing == {}
    assert "RTB_YARN_COMMAND" in missing["command"]
    nobody = f"http://127.0.0.1:{free_port()}"
    assert set(await lacks("e", [nobody])) == {f"ResourceManager {nobody}", "cluster"}
