"""``twistd rtb-api``: the ledger's keeper, with a leader beside it if wanted."""

from __future__ import annotations

from twisted.application.service import IService

from rtb.roles.options import RoleOptions, make, parameters

__all__ = ["Options", "makeService"]


class Options(RoleOptions):
    """The command line of ``twistd rtb-api``."""

    tapname = "rtb-api"
    role = "api"
    listens = True
    synopsis = "[options]"
    optFlags = [
        ["with-leader", None, "Run a leader in the same process, on the same broker connection"]
    ]
    # With a leader beside it, it uses what the leader uses.
    optParameters = parameters(("api", "leader"))


def makeService(options: Options) -> IService:
    """Return the role as a service."""
    # Not at the top: a module that imports the reactor chooses it, and --help needs neither.
    from twisted.internet import reactor

    from rtb.roles import build

    with_leader = bool(options["with-leader"])
    return make(
        options,
        reactor,
        lambda settings, reactor: build.api(settings, reactor, with_leader),
    )
