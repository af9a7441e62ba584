"""What starts and ends agents: none at all, child processes, or containers on a cluster.

A launcher keeps as many agents as the leader wants. It is told when one said hello or goodbye, and
tells when one ended and how that is known: as a witness that its process is no more, or only as the
news that nobody answers for it any longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rtb.model.wire import Launching, Track

__all__ = ["Crew", "Launcher", "NoLauncher"]


class Crew(Protocol):
    """The agents as the leader knows them; what a launcher tells it."""

    def find(self, container: str) -> Track | None:
        """Return what the agent in *container* last said; None if there is none."""

    def present(self) -> frozenset[str]:
        """Return the containers of the agents that answer."""

    def exited(self, container: str, how: str) -> None:
        """The process of the agent in *container* has ended, for certain."""

    def given_up(self, container: str) -> None:
        """Whoever ran *container* counts it no more; its process may live on."""

    def changed(self) -> None:
        """The launcher's own state is another one now."""


class Launcher(Protocol):
    """Keeps as many agents as are wanted."""

    #: As settings and reports name it.
    kind: str

    def begin(self, crew: Crew) -> None:
        """This process leads, or is about to: look for what an earlier leader started, and watch
        it. Nothing is started or ended before :meth:`want` says how many are wanted.
        """

    def end(self) -> None:
        """This process leads no more: start and end nothing."""

    def want(self, number: int) -> None:
        """Have *number* agents, besides those that leave. More are started at once; for fewer the
        leader chooses who leaves.
        """

    def heard(self, track: Track) -> None:
        """An agent said its state: it may be one to adopt."""

    def owns(self, track: Track) -> bool:
        """Is that agent one of the launcher's?"""

    def bars(self, track: Track) -> bool:
        """Must that agent get no work: is its place on the way out?"""

    def told(self, track: Track) -> None:
        """That agent was told to leave."""

    def gone(self, track: Track) -> None:
        """That agent holds nothing and does nothing: end it."""

    def release(self, tracks: Sequence[Track]) -> None:
        """The leader stops in an orderly way, and these agents have nothing to do."""

    @property
    def size(self) -> int:
        """How many of its agents live or start, without those that leave."""

    def log_of(self, track: Track) -> str:
        """Return where to read what that agent printed; empty where nobody knows."""

    def state(self) -> Launching | None:
        """Return what reports say of it."""


class NoLauncher:
    """Agents are started by somebody else."""

    kind = "none"
    size = 0

    def begin(self, crew: Crew) -> None:
        """Do nothing, as all of these."""

    def end(self) -> None:
        """Do nothing."""

    def want(self, number: int) -> None:
        """Do nothing."""

    def heard(self, track: Track) -> None:
        """Do nothing."""

    def owns(self, track: Track) -> bool:
        """Own none."""
        return False

    def bars(self, track: Track) -> bool:
        """Bar none."""
        return False

    def told(self, track: Track) -> None:
        """Do nothing."""

    def gone(self, track: Track) -> None:
        """Do nothing."""

    def release(self, tracks: Sequence[Track]) -> None:
        """Do nothing."""

    def log_of(self, track: Track) -> str:
        """Know no log."""
        return ""

    def state(self) -> Launching | None:
        """Say nothing."""
        return None
