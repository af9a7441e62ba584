"""Agents in containers of a YARN cluster.

Looks at the service again and again, takes one step at a time toward what is wanted, and tells
which agents ended. A container that ended is a witness that its process did only while its node is
RUNNING; on a node that is lost the process may live on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.leader.launcher import Crew
from rtb.leader.yarn.answers import Denied, Node, Service, YarnError
from rtb.leader.yarn.client import YarnClient
from rtb.leader.yarn.diagnosis import Diagnosis
from rtb.leader.yarn.lasting import Lasting
from rtb.leader.yarn.reconcile import (
    Create,
    Destroy,
    Drop,
    Renew,
    Rest,
    Scale,
    Situation,
    Step,
    decide,
    drifted,
)
from rtb.leader.yarn.roster import Roster
from rtb.leader.yarn.spec import Plan
from rtb.model.wire import Launching, Presence, Track

__all__ = ["YarnLauncher"]

#: Seconds until the next look while there is something to see, and after a step.
_LOOK, _AGAIN = 1.0, 0.3
_BACKOFF, _BACKOFF_MOST = 1.0, 15.0
#: Another one in each try that YARN refuses, though the problem is the same.
_NUMBER = re.compile(r"application_\d+_\d+")
#: Seconds until a service that ended by itself is made again: doubled each time.
_AGAIN_AFTER, _AGAIN_MOST = 2.0, 120.0


class YarnLauncher:
    """Keeps agents in the containers of one service.

    :param idle: seconds after which a service that is not needed is removed
    :param random: fractions for jitter
    """

    _log = Logger()
    kind = "yarn"

    def __init__(
        self,
        reactor: Any,
        client: YarnClient,
        plan: Plan,
        *,
        user: str,
        idle: float,
        random: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._plan = plan
        self._user = user
        self._idle = idle
        self._random = random
        self._roster = Roster()
        self._lasting = Lasting(reactor.seconds)
        self._diagnosis = Diagnosis(client, self._lasting)
        self._crew: Crew | None = None
        self._wanted: int | None = None
        self._service: Service | None = None
        self._nodes: dict[str, Node] = {}
        self._timer: IDelayedCall | None = None
        self._looking: Deferred[None] | None = None
        self._backoff = 0.0
        self._remake = 0.0
        self._remake_at = 0.0
        self._problem = ""

    # ---- as a launcher

    def begin(self, crew: Crew) -> None:
        """Look for the service of an earlier leader."""
        self._crew = crew
        self._schedule(0.0)

    def end(self) -> None:
        """Do nothing any more: the next leader finds the service by its name."""
        self._crew = None
        self._wanted = None
        self._service = None
        self._roster.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def want(self, number: int) -> None:
        """Have *number* agents."""
        if number != self._wanted:
            self._wanted = number
            if not self._backoff:
                self._schedule(0.0)

    def heard(self, track: Track) -> None:
        """Note who runs in a container."""
        if track.presence is not Presence.GONE and self.owns(track):
            self._roster.hailed(track)
            self._remake = 0.0

    def owns(self, track: Track) -> bool:
        """Does it run in a container of YARN's?"""
        return track.container.startswith("container_")

    def bars(self, track: Track) -> bool:
        """Is its place on the way out, or the service one that runs something else?"""
        return self.owns(track) and (
            self._roster.bars(track) or drifted(self._service, self._plan.version)
        )

    def told(self, track: Track) -> None:
        """It does not count any more."""
        self._roster.told(track)

    def gone(self, track: Track) -> None:
        """Its instance can be dropped."""
        if self.owns(track) and self._roster.gone(track):
            self._schedule(0.0)

    def release(self, tracks: Sequence[Track]) -> None:
        """Leave the service to the next leader; without one, its life time ends it."""

    @property
    def size(self) -> int:
        """Containers that live and do not leave."""
        return self._roster.staying

    def log_of(self, track: Track) -> str:
        """Return the page of its node that shows what it printed."""
        node = self._nodes.get(track.host)
        if node is None or not node.nodeHTTPAddress or not self.owns(track):
            return ""
        user = quote(self._user, safe="")
        return f"http://{node.nodeHTTPAddress}/node/containerlogs/{track.container}/{user}"

    def state(self) -> Launching:
        """Return what reports say of it."""
        service = self._service
        agents = service.agents if service is not None else None
        number = agents.number_of_containers if agents is not None else 0
        running, leaving = self._roster.running(), self._roster.not_gone
        return Launching(
            kind=self.kind,
            wanted=self._wanted or 0,
            starting=max(0, number - leaving, self.size) - running,
            running=running,
            leaving=leaving,
            state=service.state if service is not None else "",
            problem=self._problem,
        )

    # ---- the loop

    def _schedule(self, delay: float) -> None:
        """Look in *delay* seconds, or sooner if that was planned."""
        if self._crew is None:
            return
        timer = self._timer
        if timer is not None and timer.active():
            if timer.getTime() <= self._reactor.seconds() + delay:
                return
            timer.cancel()
        self._timer = self._reactor.callLater(delay, self._look)

    def _look(self) -> None:
        if self._looking is not None:
            self._schedule(_AGAIN)  # one call at a time
            return
        if self._crew is not None:
            looking = self._looking = Deferred.fromCoroutine(self._cycle(self._crew))
            looking.addErrback(self._failed).addErrback(self._broken)

    async def _cycle(self, crew: Crew) -> None:
        """Look, and take one step."""
        try:
            before = self.state()
            service = await self._client.service(self._plan.service)
            if crew is not self._crew:
                return  # it leads no more, or again
            self._service = service
            await self._compare(crew)
            step = decide(self._situation(crew))
            problem = await self._diagnosis.of(service, self._roster)
            if isinstance(step, Rest):
                problem = step.problem or problem
            done = await self._take(step)
        finally:
            self._looking = None
        self._backoff = 0.0
        if not (isinstance(step, Create) and not done):
            self._complain(problem)
        if self.state() != before and crew is self._crew:
            crew.changed()
        if not isinstance(step, Rest):
            self._schedule(_AGAIN)
        elif service is not None or self._wanted:
            self._schedule(_LOOK)

    def _situation(self, crew: Crew) -> Situation:
        service = self._service
        manned = self._roster.manned(crew.present())
        agents = service.agents if service is not None else None
        empty = agents is not None and not self._wanted and not manned
        return Situation(
            wanted=self._wanted,
            service=service,
            version=self._plan.version,
            lifetime=self._plan.lifetime,
            gone=self._roster.to_drop,
            leaving=self._roster.not_gone,
            manned=manned,
            unmanned=self._lasting.of("unmanned", not manned),
            over=self._lasting.of("state", service.state if service is not None else ""),
            idle=self._lasting.of("empty", empty),
            idle_limit=self._idle,
        )

    async def _compare(self, crew: Crew) -> None:
        """Tell the crew who ended, and how that is known."""
        service = self._service
        if service is not None and service.agents is not None:
            self._roster.compare(service.id, service.agents)
        if self._roster.unproved or self._roster.hosts() - set(self._nodes):
            self._nodes = await self._client.nodes()
        if crew is not self._crew:
            return
        for container in list(self._roster.unproved):
            track = crew.find(container)
            self._roster.ended(container)
            if track is None:
                continue
            node = self._nodes.get(track.host)
            if node is not None and node.state == "RUNNING":
                crew.exited(container, f"{container} ended on {track.host}")
            else:
                self._roster.told(track)
                crew.given_up(container)

    async def _take(self, step: Step) -> bool:
        """Do *step*; return False where it has to wait."""
        name = self._plan.service
        match step:
            case Create(number=number):
                if self._reactor.seconds() < self._remake_at:
                    return False
                self._log.info(
                    "YARN: creates {name} with {number} agents", name=name, number=number
                )
                await self._create(number)
            case Scale(number=number):
                self._log.info("YARN: {name}: {number} agents", name=name, number=number)
                await self._client.scale(name, number)
            case Drop(instances=instances):
                await self._client.decommission(name, instances)
            case Renew():
                await self._client.renew(name, self._plan.lifetime)
            case Destroy(why=why, failed=failed):
                self._log.info("YARN: removes {name}: {why}", name=name, why=why)
                if failed:
                    self._remake = min(max(_AGAIN_AFTER, self._remake * 2), _AGAIN_MOST)
                    self._remake_at = self._reactor.seconds() + self._remake
                await self._client.destroy(name)
            case Rest():
                pass
        return True

    async def _create(self, number: int) -> None:
        try:
            await self._client.create(self._plan.render(number))
        except Denied as problem:
            if "already taken" in str(problem):
                raise Denied(
                    f"the name {self._plan.service} is taken by somebody else than "
                    f"{self._user}: choose another RTB_YARN_SERVICE"
                ) from None
            raise

    def _failed(self, failure: Failure) -> None:
        failure.trap(YarnError)
        self._complain(str(failure.value))
        self._backoff = min(max(_BACKOFF, self._backoff * 1.5), _BACKOFF_MOST)
        self._schedule(self._backoff * (0.5 + self._random() / 2))

    def _broken(self, failure: Failure) -> None:
        self._log.failure("looking at YARN failed", failure)
        self._schedule(_BACKOFF_MOST)

    def _complain(self, problem: str) -> None:
        if _NUMBER.sub("", problem) == _NUMBER.sub("", self._problem):
            return
        if problem:
            self._log.warn("YARN: {problem}", problem=problem)
        self._problem = problem
        if self._crew is not None:
            self._crew.changed()
