"""What the launcher does and says while YARN will not have it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from twisted.internet.task import Clock, deferLater

from rtb.leader.yarn.answers import Away, Component, Container, Denied, Gibberish, Service
from rtb.leader.yarn.launcher import YarnLauncher
from rtb.leader.yarn.spec import Plan
from rtb.model.wire import Track

PLAN = Plan(
    service="rtb-outbox", queue="default", memory=256, cores=1, command="twistd", lifetime=3600,
    environment={},
)  # fmt: skip


class Client:
    """Answers each call with what is next, the last one for ever; notes when each came."""

    def __init__(self, clock: Clock, *says: Any) -> None:
        self._clock = clock
        self.says = list(says)
        self.calls: list[tuple[str, float]] = []

    async def _note(self, call: str) -> None:
        self.calls.append((call, self._clock.seconds()))
        await deferLater(self._clock, 0.01)

    async def service(self, name: str) -> Any:
        await self._note("service")
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        if isinstance(said, Exception):
            raise said
        return said

    async def create(self, spec: dict[str, Any]) -> None:
        await self._note("create")
        raise Denied("Service name rtb-outbox is already taken. (500)")

    async def destroy(self, name: str) -> None:
        await self._note("destroy")

    async def application(self, application: str) -> Any:
        raise Away("no ResourceManager is there")


class Crew:
    """The agents as the leader knows them: none."""

    def __init__(self) -> None:
        self.changes = 0

    def find(self, container: str) -> Track | None:
        return None

    def present(self) -> frozenset[str]:
        return frozenset()

    def exited(self, container: str, how: str) -> None:
        raise AssertionError(container)

    given_up = exited

    def changed(self) -> None:
        self.changes += 1


def launch(*says: Any) -> tuple[Clock, Client, Crew, YarnLauncher]:
    clock, crew = Clock(), Crew()
    client = Client(clock, *says)
    launcher = YarnLauncher(
        clock, client, PLAN, user="rtb", idle=600.0, random=lambda: 1.0,  # type: ignore[arg-type]
    )  # fmt: skip
    launcher.begin(crew)  # type: ignore[arg-type]
    launcher.want(2)
    return clock, client, crew, launcher


@pytest.mark.parametrize("problem", [Away("no one"), Denied("no (500)"), Gibberish("<html>")])
def test_it_backs_off_says_so_once_and_is_back_at_once(problem: Exception) -> None:
    service = Service(
        "rtb-outbox", "application_1", "STABLE", PLAN.version, 3600,
        [Component("agent", 2, [Container(f"c{n}", f"agent-{n}", "READY") for n in range(2)])],
    )  # fmt: skip
    clock, client, crew, launcher = launch(*[problem] * 12, service)
    clock.pump([0.1] * 1000)
    moments = [at for call, at in client.calls if call == "service"][:12]
    gaps = [round(later - earlier, 1) for earlier, later in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert (gaps[0] < 2, gaps[-1]) == (True, pytest.approx(15, abs=0.3))
    assert launcher.state().problem == str(problem)
    changes = crew.changes
    assert changes == 1, "a line that is the same is not said again"
    clock.pump([0.1] * 400)
    assert (launcher.state().problem, launcher.state().state) == ("", "STABLE")


def test_a_name_that_is_taken_is_said_with_what_to_do() -> None:
    clock, client, _, launcher = launch(None)
    clock.pump([0.1] * 600)
    assert launcher.state().problem == (
        "the name rtb-outbox is taken by somebody else than rtb: choose another RTB_YARN_SERVICE"
    )
    assert 5 < sum(call == "create" for call, _ in client.calls) < 12


def test_a_service_that_fails_again_and_again_is_made_again_ever_later() -> None:
    failed = Service("rtb-outbox", "application_1", "FAILED", PLAN.version)
    clock, client, _, launcher = launch(failed)
    clock.pump([0.1] * 600)
    assert launcher.state().problem.startswith("the service rtb-outbox is FAILED")
    assert "destroy" in {call for call, _ in client.calls}
    assert "create" not in {call for call, _ in client.calls}
