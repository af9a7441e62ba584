"""``twistd rtb-agent``: the machine that runs units."""

from __future__ import annotations

from twisted.application.service import IService

from rtb.roles.options import RoleOptions, make, parameters

__all__ = ["Options", "makeService"]


class Options(RoleOptions):
    """The command line of ``twistd rtb-agent``."""

    tapname = "rtb-agent"
    role = "agent"
    synopsis = "[options]"
    optParameters = parameters(("agent",))


def makeService(options: Options) -> IService:
    """Return the role as a service."""
    # Not at the top: a module that imports the reactor chooses it, and --help needs neither.
    from twisted.internet import reactor

    from rtb.roles import build

    return make(options, reactor, build.agent)
