"""``twistd rtb-leader``: a job tracker and the agents of a box."""

from __future__ import annotations

from twisted.application.service import IService

from rtb.roles.options import RoleOptions, make, parameters

__all__ = ["Options", "makeService"]


class Options(RoleOptions):
    """The command line of ``twistd rtb-leader``."""

    tapname = "rtb-leader"
    role = "leader"
    synopsis = "[options]"
    optParameters = parameters(("leader",))


def makeService(options: Options) -> IService:
    """Return the role as a service."""
    # Not at the top: a module that imports the reactor chooses it, and --help needs neither.
    from twisted.internet import reactor

    from rtb.roles import build

    return make(options, reactor, build.leader)
