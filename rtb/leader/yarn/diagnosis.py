"""Why a service does not get on, in words for people."""

from __future__ import annotations

from rtb.leader.yarn.answers import Service, YarnError
from rtb.leader.yarn.client import YarnClient
from rtb.leader.yarn.lasting import Lasting
from rtb.leader.yarn.roster import Roster

__all__ = ["Diagnosis"]

#: Seconds that a step of a service may take before one asks, and that an agent may take to start.
_SLOW, _MUTE = 10.0, 45.0


class Diagnosis:
    """Looks at what lasts too long."""

    def __init__(self, client: YarnClient, lasting: Lasting) -> None:
        self._client = client
        self._lasting = lasting

    async def of(self, service: Service | None, roster: Roster) -> str:
        """Return what keeps *service* from doing what it should; empty when nothing does."""
        state = service.state if service is not None else ""
        waits = state if state not in ("", "STABLE", "STARTED") else ""
        waited = self._lasting.of("waits", waits)
        if service is None:
            return ""
        if waits and (waited >= _SLOW or waits != "ACCEPTED"):
            return await self.why(service)
        return self._of_containers(service, roster)

    async def why(self, service: Service) -> str:
        """Return the state of *service* with what YARN says of its application."""
        said = ""
        if service.id:
            try:
                application = await self._client.application(service.id)
            except YarnError as problem:
                said = str(problem)
            else:
                said = " ".join(application.diagnostics.split())[-300:]
        return f"the service {service.name} is {service.state}: {said or 'no reason given'}"

    def _of_containers(self, service: Service, roster: Roster) -> str:
        agents = service.agents
        number = agents.number_of_containers if agents is not None else 0
        living = sum(c.lives for c in agents.containers) if agents is not None else 0
        short = (number, living) if living < number else None
        if self._lasting.of("short", short) >= _SLOW:
            return (
                f"YARN runs {living} of {number} containers: the cluster or the queue has no room "
                "for more, or no node is as large as one of them"
            )
        mute = roster.mute()
        if self._lasting.of("mute", mute and mute[0].id) >= _MUTE:
            return (
                f"container {mute[0].id} runs, but its agent says nothing: its log tells why "
                "(is the command there, does it reach the broker?)"
            )
        return ""
