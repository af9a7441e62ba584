"""``twistd rtb``: the whole system on one machine."""

from __future__ import annotations

from twisted.application.service import IService

from rtb.roles.options import RoleOptions, make, parameters

__all__ = ["Options", "makeService"]


class Options(RoleOptions):
    """The command line of ``twistd rtb``."""

    tapname = "rtb"
    role = None
    listens = True
    synopsis = "[options]"
    optParameters = parameters(("api", "leader", "agent"))


def makeService(options: Options) -> IService:
    """Return the role as a service."""
    # Not at the top: a module that imports the reactor chooses it, and --help needs neither.
    from twisted.internet import reactor

    from rtb.roles import build

    return make(options, reactor, build.whole)
