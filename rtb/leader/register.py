"""The leader's register of agents: what each one said last, and what may be given to it.

Pure: messages and times in, decisions out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto

import attrs

from rtb.model.tracker import Tracker
from rtb.model.wire import AgentState, Presence, Track, UnitKey

__all__ = ["Agent", "Register", "Standing"]

#: Seconds of silence after which an agent is forgotten.
FORGOTTEN = 60.0


class Standing(Enum):
    """May an agent be given work?"""

    WELCOME = auto()
    #: A hand-out came back: its queue is gone until it says hello in a new session.
    UNREACHED = auto()
    #: It does not offer what the box offers.
    REFUSED = auto()
    #: It was told to finish what it runs and to leave.
    LEAVING = auto()


@attrs.define(eq=False)
class Agent:
    """An agent, as it was last heard."""

    track: Track
    heard_at: float
    standing: Standing = Standing.WELCOME
    #: The number of the last message to it.
    number: int = 0
    #: What it had when the leader stopped vouching for it, until it says what it has.
    disowned: set[UnitKey] = attrs.field(factory=set)

    @property
    def busy(self) -> int:
        """How many of its slots are taken, as it said."""
        return max(0, len(self.track.holding) - self.track.ended)

    def silent(self, now: float) -> float:
        """Return for how many seconds it has said nothing."""
        return now - self.heard_at


class Register:
    """Keeps the agents of a box beside what the *tracker* says they have.

    :param silent: seconds after which nobody vouches for what a silent agent runs
    """

    def __init__(self, tracker: Tracker, silent: float) -> None:
        self._tracker = tracker
        self._silent = silent
        self._agents: dict[str, Agent] = {}
        #: Incarnations known to have ended; a word of theirs may still be on its way.
        self._ended: set[str] = set()
        #: What the box offers: what its first agent offered. Others must offer it as well.
        self.workloads: list[str] = []

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents.values())

    def get(self, agent: str) -> Agent | None:
        """Return the agent whose incarnation is *agent*."""
        return self._agents.get(agent)

    @property
    def slots(self) -> int:
        """How many units can run at once."""
        useless = (Standing.REFUSED, Standing.LEAVING)
        return sum(agent.track.slots for agent in self if agent.standing not in useless)

    def busy(self, now: float) -> int:
        """Return how many slots are taken, of the agents that answer."""
        return sum(agent.busy for agent in self if self.answers(agent, now))

    def heard(self, track: Track, leader: str, ledger: str, now: float) -> list[UnitKey]:
        """Take in an agent's state; return what was handed to it and certainly never arrived."""
        if track.agent in self._ended:
            return []
        agent = self._agents.get(track.agent)
        if agent is not None and track.seq <= agent.track.seq:
            return []
        if agent is None:
            # One that was forgotten counts on from where it heard this leader last.
            number = track.heard if track.leader == leader else 0
            agent = self._agents[track.agent] = Agent(track, now, number=number)
        elif agent.standing is Standing.UNREACHED and track.session > agent.track.session:
            agent.standing = Standing.WELCOME
        agent.track, agent.heard_at = track, now
        agent.disowned.clear()
        self._judge(agent)
        missing = self._compare(track, leader) if track.ledger in ("", ledger) else []
        if track.presence is Presence.GONE:
            missing = [entry.key for entry in self._tracker.of_agent(track.agent)]
            del self._agents[track.agent]
        return missing

    def is_news(self, track: Track) -> bool:
        """Is *track* of an agent that is not known to have ended?"""
        return track.agent not in self._ended

    def answers(self, agent: Agent, now: float) -> bool:
        """Was *agent* heard of lately?"""
        return agent.silent(now) < self._silent

    def is_idle(self, agent: Agent, now: float) -> bool:
        """Does *agent* have nothing, as far as it and the tracker know, and answer?"""
        return (
            not agent.track.holding
            and not self._tracker.of_agent(agent.track.agent)
            and self.answers(agent, now)
        )

    def free(self, now: float) -> list[tuple[Agent, int]]:
        """Return who can take how many units now."""
        free = []
        for agent in self:
            if (
                agent.track.presence is Presence.READY
                and agent.standing is Standing.WELCOME
                and agent.silent(now) < self._silent
                # Most are full in a box that is busy: that is seen without the tracker.
                and agent.busy < agent.track.slots
            ):
                # Taken, and given since the state that it last read.
                has = agent.busy + self._tracker.handed_to(agent.track.agent)
                if has < agent.track.slots:
                    free.append((agent, agent.track.slots - has))
        return free

    def prune(self, now: float) -> list[str]:
        """Stop vouching for what silent agents run; forget, and return, those silent for long."""
        forgotten = []
        for name, agent in list(self._agents.items()):
            if agent.silent(now) >= self._silent:
                self.disown(agent)
            if agent.silent(now) >= FORGOTTEN:
                del self._agents[name]
                forgotten.append(agent.track.name)
        return forgotten

    def unreached(self, agent: Agent) -> None:
        """*agent*'s queue, and so its connection, is gone: nothing for it until it says hello.

        What it runs it vouches for when it is back; if its process is gone, nobody does.
        """
        if agent.standing is not Standing.LEAVING:
            agent.standing = Standing.UNREACHED
        self.disown(agent)

    def ended(self, agent: Agent) -> list[UnitKey]:
        """*agent*'s process is known to have ended: forget it, and return what it held."""
        self._ended.add(agent.track.agent)
        self._agents.pop(agent.track.agent, None)
        keys = {entry.key for entry in self._tracker.of_agent(agent.track.agent)}
        # A leader that does not know its ledger yet has nothing in its tracker.
        keys |= {held.key for held in agent.track.holding} | agent.disowned
        for key in keys:
            self._tracker.remove(key)
        return sorted(keys)

    def disown(self, agent: Agent) -> None:
        """Vouch no longer for what *agent* has."""
        for entry in self._tracker.of_agent(agent.track.agent):
            self._tracker.remove(entry.key)
            agent.disowned.add(entry.key)

    def states(
        self, now: float, log_of: Callable[[Track], str] = lambda track: ""
    ) -> list[AgentState]:
        """Return the agents as reports show them; *log_of* one is where to read its output."""
        return [
            AgentState(
                agent=agent.track.agent,
                name=agent.track.name,
                host=agent.track.host,
                presence=agent.track.presence,
                slots=agent.track.slots,
                busy=agent.busy,
                workloads=agent.track.workloads,
                silent=round(agent.silent(now), 3),
                container=agent.track.container,
                log=log_of(agent.track),
            )
            for agent in self
        ]

    def _judge(self, agent: Agent) -> None:
        offers = set(agent.track.workloads)
        if not any(other is not agent and other.standing is not Standing.REFUSED for other in self):
            self.workloads = sorted(offers)
        if agent.standing is Standing.LEAVING:
            return
        if not offers.issuperset(self.workloads):
            agent.standing = Standing.REFUSED
        elif agent.standing is Standing.REFUSED:
            agent.standing = Standing.WELCOME

    def _compare(self, track: Track, leader: str) -> list[UnitKey]:
        self._tracker.hear(track.agent, track.holding)
        heard = track.heard if track.leader == leader else 0
        missing = []
        for entry in self._tracker.handed(track.agent):
            if entry.number <= heard:
                self._tracker.remove(entry.key)  # it had it, and is done with it
            elif entry.session < track.session:
                missing.append(entry.key)  # went to a queue that ended with its connection
        return missing
