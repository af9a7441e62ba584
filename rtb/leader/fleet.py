"""The agents of a reign and the launcher that keeps them: how many are wanted, and who leaves.

Agents leave only idle: the leader stops giving them work, tells them to leave, and once they said
that they are gone the launcher ends them. So ending one never costs a unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from rtb.leader.launcher import Launcher
from rtb.leader.register import Agent, Register, Standing
from rtb.model.scale import Load, Scale
from rtb.model.tracker import Tracker
from rtb.model.wire import AgentState, Control, Launching, Presence, Track

__all__ = ["Fleet"]


class Fleet:
    """Sizes the launcher's agents to the work.

    :param offers: workloads that the launcher's agents run; others' backlog is not theirs
    :param settle: seconds at the beginning of a reign in which nobody is told to leave: it does
        not know yet what was needed before
    :param dismiss: tells an agent to leave
    :param exited: told that an agent's process has ended, and how that is known
    :param changed: told that there is something new to report
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        launcher: Launcher,
        scale: Scale,
        register: Register,
        tracker: Tracker,
        *,
        offers: frozenset[str],
        settle: float,
        dismiss: Callable[[Agent], None],
        exited: Callable[[Agent, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._launcher = launcher
        self._scale = scale
        self._register = register
        self._tracker = tracker
        self._offers = offers
        self._settled_at = reactor.seconds() + settle
        self._dismiss = dismiss
        self._exited = exited
        self._changed = changed
        self._backlog: int | None = None

    # ---- what the leader tells

    def begin(self) -> None:
        """The reign begins."""
        self._launcher.begin(self)

    def end(self) -> None:
        """It leads no more: start and end nothing."""
        self._backlog = None
        self._launcher.end()

    def resign(self) -> None:
        """The leader stops in an orderly way."""
        now = self._reactor.seconds()
        self._launcher.release(
            [agent.track for agent in self._register if self._register.is_idle(agent, now)]
        )

    def states(self) -> list[AgentState]:
        """Return the agents as reports show them."""
        return self._register.states(self._reactor.seconds(), self._launcher.log_of)

    def launching(self) -> Launching | None:
        """Return the launcher as reports show it."""
        return self._launcher.state()

    def controlled(self, control: Control) -> None:
        """The API said what waits."""
        waiting = sum(n for name, n in control.backlog.items() if name in self._offers)
        self._backlog = waiting if control.going else 0

    def hears(self, track: Track) -> None:
        """An agent says its state, which is not in the register yet."""
        if track.container and self._register.get(track.agent) is None:
            for agent in list(self._register):
                if agent.track.container == track.container and self._register.is_news(track):
                    # A container holds one process at a time.
                    self._exited(agent, f"another one runs in its container {track.container}")
        self._launcher.heard(track)

    def heard(self, track: Track) -> None:
        """The register has it now."""
        if track.presence is Presence.GONE:
            if track.container:
                self._launcher.gone(track)
            return
        agent = self._register.get(track.agent)
        if agent is not None and self._launcher.bars(track):
            self._let_go(agent)

    def adjust(self) -> None:
        """Have as many agents as the work needs now."""
        if self._backlog is None:
            return  # not told yet
        now = self._reactor.seconds()
        in_flight = self._tracker.queued + self._tracker.running
        wanted = self._scale.wanted(Load(self._backlog, in_flight), now)
        self._launcher.want(wanted)
        if now >= self._settled_at:
            self._dismiss_some(self._launcher.size - wanted, now)

    def remind(self) -> None:
        """Say again to those that leave what may have been lost."""
        for agent in self._register:
            if agent.standing is Standing.LEAVING:
                self._dismiss(agent)
            elif self._launcher.bars(agent.track):
                self._let_go(agent)

    # ---- what the launcher tells

    def find(self, container: str) -> Track | None:
        """Return what the agent in *container* last said."""
        agent = self._find(container)
        return agent.track if agent is not None else None

    def present(self) -> frozenset[str]:
        """Return the containers of the agents that answer."""
        now = self._reactor.seconds()
        return frozenset(
            agent.track.container for agent in self._register if self._register.answers(agent, now)
        )

    def exited(self, container: str, how: str) -> None:
        """Its process has ended: what it ran is known to be lost."""
        agent = self._find(container)
        if agent is not None:
            self._exited(agent, how)

    def given_up(self, container: str) -> None:
        """It may live: it gets no more work, and what it runs it vouches for itself."""
        agent = self._find(container)
        if agent is not None:
            self._let_go(agent)

    def changed(self) -> None:
        """Something is new to report, and who is there may have changed."""
        self._changed()

    # ---- who leaves

    def _find(self, container: str) -> Agent | None:
        for agent in self._register:
            if container and agent.track.container == container:
                return agent
        return None

    def _dismiss_some(self, surplus: int, now: float) -> None:
        for agent in self._register:
            drains = agent.track.presence is Presence.DRAINING  # a person wants it to end
            if (
                (drains or (surplus > 0 and agent.standing is Standing.WELCOME))
                and agent.standing is not Standing.LEAVING
                and self._launcher.owns(agent.track)
                and self._register.is_idle(agent, now)
            ):
                surplus -= not drains
                self._let_go(agent)

    def _let_go(self, agent: Agent) -> None:
        if agent.standing is Standing.LEAVING:
            return
        self._log.debug("{agent} is to leave", agent=agent.track.name)
        agent.standing = Standing.LEAVING
        self._launcher.told(agent.track)
        self._dismiss(agent)
