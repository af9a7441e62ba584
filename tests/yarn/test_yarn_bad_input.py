"""Whatever is wrong with a cluster: one clear line, and units go on where agents are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import pytest_twisted
from line_support import order
from pytest_twisted import blockon
from twisted.internet.defer import maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import Site
from yarn_support import Ending, YarnLine, shown

from rtb.leader.yarn.check import check
from rtb.leader.yarn.client import YarnClient
from rtb.leader.yarn.spec import Plan
from rtb.sandbox.directory import free_port
from rtb.sandbox.yarn import YarnCluster

# One cluster for all of them, also where tests run in several processes.
pytestmark = [pytest.mark.yarn, pytest.mark.xdist_group("yarn")]
ensure = pytest_twisted.ensureDeferred
_INFO = b'{"clusterInfo": {"state": "STARTED", "haState": "ACTIVE"}}'


class _Impostor(Resource):
    """Answers as a ResourceManager whose Services API is off, or as no ResourceManager at all."""

    isLeaf = True

    def __init__(self, yarn: bool) -> None:
        super().__init__()
        self._yarn = yarn

    def render(self, request: Any) -> bytes:
        if not self._yarn:
            return b"<html>welcome</html>"
        if request.path == b"/ws/v1/cluster/info":
            return _INFO
        request.setResponseCode(404)
        return b"<html>Not found</html>"


@pytest.fixture
def impostors(reactor: Any) -> Iterator[tuple[str, str]]:
    """A ResourceManager without the API, and a web server that is none."""
    ports = [
        reactor.listenTCP(0, Site(_Impostor(yarn)), interface="127.0.0.1") for yarn in (True, False)
    ]
    yield tuple(f"127.0.0.1:{port.getHost().port}" for port in ports)
    for port in ports:
        blockon(maybeDeferred(port.stopListening))


def _theirs(name: str) -> Plan:
    return Plan(
        service=name, queue="default", memory=64, cores=1, command="sleep 1000", lifetime=600,
        environment={},
    )  # fmt: skip


@ensure
async def test_a_check_tells_the_api_and_what_is_no_yarn(
    impostors: tuple[str, str], reactor: Any
) -> None:
    async def lacks(manager: str) -> dict[str, str]:
        found = await check(reactor, [f"http://{manager}"], "rtb", _theirs("rtb-x"), "a")
        return {finding.what: finding.said for finding in found if not finding.good}

    (off,) = (await lacks(impostors[0])).values()
    assert "yarn.webapp.api-service.enable=true" in off
    assert all(
        "did not answer as YARN does" in said for said in (await lacks(impostors[1])).values()
    )


@ensure
async def test_each_is_one_clear_line_and_the_work_goes_on(
    yarn_line: YarnLine,
    cluster: YarnCluster,
    impostors: tuple[str, str],
    reactor: Any,
    ending: Ending,
) -> None:
    line = yarn_line.line
    nobody = f"127.0.0.1:{free_port()}"
    foreign = YarnClient(reactor, [f"http://{where}" for where in cluster.addresses], "other")
    theirs = _theirs(f"{yarn_line.service}-theirs")
    await foreign.create({**theirs.render(1), "version": "1.0"})
    cases = [
        ({"YARN_RM": nobody}, f"no ResourceManager is there: http://{nobody} cannot be reached"),
        ({"YARN_RM": impostors[0]}, "yarn.webapp.api-service.enable"),
        ({"YARN_RM": impostors[1]}, "did not answer as YARN does"),
        ({"YARN_QUEUE": "nowhere"}, "nowhere"),
        ({"YARN_MEMORY": "5000"}, "memory|no room"),
        ({"YARN_SERVICE": theirs.service}, "choose another RTB_YARN_SERVICE"),
    ]
    line.start("rtb-api")
    line.start("rtb-agent", AGENT_NAME="by-hand")
    await line.until(lambda summary: True)
    await line.client.go()
    settled = 0
    for number, (changes, words) in enumerate(cases):
        # Of a name of its own: what was refused may lie there half-made.
        service = f"{yarn_line.service}-{number}"
        leader = line.start("rtb-leader", AGENTS="1:1", **{"YARN_SERVICE": service, **changes})
        summary = await line.until(
            lambda summary, words=words: bool(re.search(words, shown(summary).get("problem", "")))  # type: ignore[misc]
        )
        problem = shown(summary)["problem"]
        assert "\n" not in problem
        settled += 4
        await line.client.place(order(4))
        await line.until_settled(settled)
        # Once, also where YARN gives each try another number.
        said, problem = (
            re.sub(r"application_\d+_\d+", "", text) for text in (leader.log.read_text(), problem)
        )
        assert said.count(f"YARN: {problem}") == 1
        await leader.end()
    managers = [f"http://{where}" for where in cluster.addresses]
    found = await check(reactor, managers, "rtb", theirs, "a")
    assert [one.what for one in found if not one.good] == ["service"]
    ending(foreign.destroy(theirs.service))
    await line.end()
    line.check()


@pytest.mark.long
@ensure
async def test_a_command_that_is_not_there_is_told(
    yarn_line: YarnLine, cluster: YarnCluster, reactor: Any
) -> None:
    """YARN tries it again and again in the same container, and sees nothing wrong with that."""
    line = yarn_line.line
    line.start("rtb-agent", AGENT_NAME="by-hand")
    leader = await yarn_line.start(AGENTS="1:1", YARN_COMMAND="/no/such/twistd -n")
    # On a slow machine it may say something of the ApplicationMaster before.
    summary = await line.until(
        lambda summary: "its agent says nothing" in shown(summary).get("problem", ""), limit=240
    )
    problem = shown(summary)["problem"]
    assert "\n" not in problem
    # Said once, of the one container in which its node tries again every other second.
    await line.client.place(order(4))
    summary = await line.until_settled(4)
    assert (shown(summary)["running"], shown(summary)["starting"]) == (0, 1)
    service = await yarn_line.client.service(yarn_line.service)
    assert service is not None
    assert service.agents is not None
    assert [container.id in problem for container in service.agents.containers] == [True]
    assert leader.log.read_text().count(f"YARN: {problem}") == 1
    await leader.end()
    managers = [f"http://{where}" for where in cluster.addresses]
    plan = attrs.evolve(_theirs("rtb-x"), command="/no/such/twistd -n")
    found = await check(reactor, managers, "rtb", plan, "b")
    assert [one.what for one in found if not one.good] == ["command"]
    await line.end()
    line.check()
