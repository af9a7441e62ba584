"""From what is wanted and what YARN says is there to the one next step.

Pure, and without memory: a step that was lost, came late or was carried out twice is seen in the
next look, and so is whatever an earlier leader left.
"""

from __future__ import annotations

import attrs

from rtb.leader.yarn.answers import Service
from rtb.leader.yarn.spec import OURS

__all__ = [
    "Create",
    "Destroy",
    "Drop",
    "Renew",
    "Rest",
    "Scale",
    "Situation",
    "Step",
    "decide",
    "drifted",
    "foreign",
]

#: The states in which a service has ended, or lies half-made.
_OVER = frozenset({"FAILED", "SUCCEEDED", "STOPPED", "FINISHED", "KILLED"})
#: Seconds for which that must be seen: just after a failover it is said of services that run.
_SURE_OVER = 3.0
#: How the names of services begin that a leader may remove without seeing whose they are.
_PREFIX = "rtb-"
#: Seconds without a word from any agent after which none is there that could lose a unit: whoever
#: lost the broker's connection is back by then.
_SURE_UNMANNED = 20.0


@attrs.frozen
class Create:
    """There is no service: make one of *number* agents."""

    number: int


@attrs.frozen
class Scale:
    """Let there be *number* containers."""

    number: int


@attrs.frozen
class Drop:
    """End the containers of these instances, whose agents are gone."""

    instances: tuple[str, ...]


@attrs.frozen
class Renew:
    """Let the service live on."""


@attrs.frozen
class Destroy:
    """Remove the service; why, and whether it came to its end by itself."""

    why: str
    failed: bool = False


@attrs.frozen
class Rest:
    """Do nothing; the reason, where a person should know it."""

    problem: str = ""


Step = Create | Scale | Drop | Renew | Destroy | Rest


@attrs.frozen(kw_only=True)
class Situation:
    """What a step is decided from."""

    #: None: not known yet, so that nothing is to be done.
    wanted: int | None
    #: None: there is none.
    service: Service | None
    #: Of what is to run, and how many seconds it is to live without a leader.
    version: str
    lifetime: int
    #: Instances whose agents said that they are gone.
    gone: frozenset[str] = frozenset()
    #: How many agents were told to leave and are not gone yet: their containers are still needed.
    leaving: int = 0
    #: Does an agent of the service answer? For how many seconds has none?
    manned: bool = False
    unmanned: float = 0.0
    #: Seconds for which the service has been seen as over, and as empty and not wanted.
    over: float = 0.0
    idle: float = 0.0
    idle_limit: float = 600.0


def decide(now: Situation) -> Step:
    """Return what to do next."""
    service = now.service
    if now.wanted is None:
        return Rest()
    if service is None:
        return Create(now.wanted) if now.wanted else Rest()
    is_over = service.state in _OVER
    if foreign(service):
        return Rest(
            f"the service {service.name!r} ({service.state}, version {service.version!r}) is not "
            "one of rtb's: choose another RTB_YARN_SERVICE, or remove it yourself"
        )
    if service.agents is None and not service.version and not is_over:
        return Rest()  # no news: it starts, or its ApplicationMaster is away for a moment
    if is_over:
        return Destroy(f"it is {service.state}", failed=True) if now.over >= _SURE_OVER else Rest()
    if 0 <= service.lifetime < now.lifetime / 2:
        return Renew()
    agents = service.agents
    if agents is None:
        return Rest()  # no news again
    to_drop = now.gone - set(agents.decommissioned_instances)
    if to_drop:
        return Drop(tuple(sorted(to_drop)))
    if service.version != now.version:
        if now.unmanned < _SURE_UNMANNED:
            return Rest()  # its agents are told to leave
        return Destroy("it runs something else than is wanted now")
    return _size(
        now, now.wanted, agents.number_of_containers, any(c.lives for c in agents.containers)
    )


def foreign(service: Service) -> bool:
    """Is it known that no leader made *service*?"""
    if service.version:
        return not service.version.startswith(OURS)
    if service.state in _OVER:  # of which YARN does not say the version
        return not service.name.startswith(_PREFIX)
    return service.agents is not None  # one that starts says nothing yet


def drifted(service: Service | None, version: str) -> bool:
    """Is *service* one of ours that runs something else than *version*?"""
    return service is not None and service.version.startswith(OURS) and service.version != version


def _size(now: Situation, wanted: int, number: int, lives: bool) -> Step:
    if number < wanted + now.leaving:
        return Scale(wanted + now.leaving)
    if wanted or now.leaving or now.manned:
        # More than is wanted: idle agents are chosen to leave, and dropped by name.
        return Rest()
    if number:
        # Nobody in there says a word, so nobody has anything to lose.
        return Scale(0) if now.unmanned >= _SURE_UNMANNED else Rest()
    if not lives and now.idle >= now.idle_limit:
        return Destroy("nothing was wanted for a long time")
    return Rest()
