"""The messages, version 1: the contract between the roles.

All travel as UTF-8 JSON through the topic exchange ``rtb``. Every message carries the schema
version ``v`` and the ``ledger`` (the random id of the database that it speaks of; empty while the
sender has not met one). Within a version one only adds: new fields with defaults to the objects,
new elements at the end of the arrays. Readers ignore what they do not know.

=================  =========================  ==================================================
routing key        from -> to                 body
=================  =========================  ==================================================
``out.<box>``      API -> leader              :class:`Out`: units to store
``track.<box>``    agents -> leader           :class:`Track`: an agent's whole state
``roll.<box>``     leader -> agents           :class:`Roll`: "I lead"; as a call, "who is there?"
``work.<agent>``   leader -> one agent        :class:`Work`: units to run, units to drop, goodbye
``status.queued``  leader -> API              :class:`Report`: what the leader holds
``status.<kind>``  agents, leader -> API      :class:`Status` of that kind
``control.<box>``  API -> leader and agents   :class:`Control`: state, not a word
``barrier``        API -> inbox               :class:`Barrier`: an epoch to end
=================  =========================  ==================================================

A unit and its attempt always travel together: the attempt is the fencing number.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

__all__ = [
    "VERSION",
    "AgentState",
    "Barrier",
    "Control",
    "Ended",
    "Gave",
    "Held",
    "Launching",
    "Message",
    "Out",
    "Presence",
    "Report",
    "Roll",
    "Status",
    "StatusKind",
    "Track",
    "Unit",
    "UnitKey",
    "Work",
]

VERSION = 1
_UnitId = Annotated[int, msgspec.Meta(gt=0, le=2**63 - 1)]
_Attempt = Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
#: (unit, attempt)
UnitKey = tuple[_UnitId, _Attempt]
# What the ledger would refuse is refused here, where it costs one message: a report that could
# never be booked would be tried again for ever, with the whole inbox behind it.
_Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]
#: Of a process life: a key of the ledger's, and an index takes no long ones.
_Incarnation = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z", max_length=255)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]


class Unit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One unit, as it travels to the agent that runs it."""

    unit: _UnitId
    attempt: _Attempt
    account: str
    #: The account's share; a bigger weight gets more.
    weight: float
    #: Of the order, inside its account; higher goes first.
    priority: int
    workload: str
    #: Seconds it may run; None for no limit.
    limit: float | None
    order: int
    name: str
    #: JSON, at most 64 KiB, passed through untouched.
    payload: msgspec.Raw
    #: Its own priority, inside its order; higher goes first.
    bump: int = 0

    @property
    def key(self) -> UnitKey:
        """The (unit, attempt) that names this dispatch."""
        return self.unit, self.attempt


class Held(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A unit that an agent holds."""

    unit: _UnitId
    attempt: _Attempt
    started: bool
    account: str

    @property
    def key(self) -> UnitKey:
        """The (unit, attempt) held."""
        return self.unit, self.attempt


class Presence(StrEnum):
    """How an agent sees itself."""

    READY = "ready"
    #: Takes nothing new, finishes what it holds.
    DRAINING = "draining"
    #: Its last word: it holds nothing and will not come back.
    GONE = "gone"


class Out(msgspec.Struct, kw_only=True):
    """API -> leader: units to store in the job tracker, in fair order."""

    v: int = VERSION
    ledger: _Text
    box: _Text
    units: list[Unit]
    #: The incarnation that led the box when they were claimed. They may have been given up since
    #: then if it is not the reader's.
    leader: _Text = ""


class Track(msgspec.Struct, kw_only=True):
    """Agent -> leader: the agent's whole state, never a difference; the newest ``seq`` counts."""

    v: int = VERSION
    ledger: _Text
    box: _Text
    #: The agent's incarnation; ``name`` is only a label.
    agent: _Text
    name: _Text
    host: _Text
    pid: int
    presence: Presence
    seq: int
    #: Counts the agent's connections: what was handed out over an earlier one and is not held
    #: was never received, since the exclusive queue ended with that connection.
    session: int
    #: Whom it last heard, and the number of the last :class:`Work` it got from them.
    leader: _Text
    heard: int
    slots: _Count
    workloads: list[_Text]
    holding: list[Held]
    #: What a launcher started it in: no two processes that live at a time share one. Empty for
    #: one that somebody started.
    container: _Text = ""
    #: How many of those held have ended and take no slot: only their news is not confirmed yet.
    ended: _Count = 0


class Roll(msgspec.Struct, kw_only=True):
    """Leader -> agents of its box: it leads (every 2 s); with ``call``, answer with your state."""

    v: int = VERSION
    ledger: _Text
    box: _Text
    leader: _Text
    call: bool


class Work(msgspec.Struct, kw_only=True):
    """Leader -> one agent."""

    v: int = VERSION
    ledger: _Text
    box: _Text
    leader: _Text
    #: Counts the leader's messages to this agent, from 1.
    number: int
    give: list[Unit] = []
    drop: list[UnitKey] = []
    #: Why this agent is not wanted here; empty when it is.
    goodbye: _Text = ""
    #: With a goodbye: finish what runs, say that you are gone, and be ended.
    leave: bool = False


class AgentState(msgspec.Struct, kw_only=True):
    """An agent, as the leader's report shows it."""

    agent: _Incarnation
    name: _Text
    host: _Text
    presence: Presence
    slots: _Count
    busy: _Count
    workloads: list[_Text]
    #: Seconds since the leader last read its state.
    silent: _Seconds
    container: _Text = ""
    #: Where to read what it printed.
    log: _Text = ""


class Launching(msgspec.Struct, kw_only=True):
    """What a leader's launcher does, as its report shows it."""

    #: local or yarn.
    kind: _Text
    #: Agents that the work needs, and those that are there.
    wanted: _Count
    starting: _Count
    running: _Count
    leaving: _Count
    #: Of the service that holds them; empty where there is none.
    state: _Text = ""
    #: What keeps it from doing better, in words; empty when nothing does.
    problem: _Text = ""


class Report(msgspec.Struct, kw_only=True):
    """Leader -> API, ``status.queued``: what it holds or has handed out, and how full it is.

    ``units`` names what is new, or everything (``full``) in ``parts`` numbered from 1. The
    ``first`` report of an incarnation is full; its last part releases what earlier incarnations
    had queued and this one did not name.
    """

    v: int = VERSION
    ledger: _Text
    box: _Text
    leader: _Incarnation
    number: int
    first: bool = False
    full: bool = False
    #: Its last word: it stops, and holds nothing.
    gone: bool = False
    part: int = 1
    parts: int = 1
    #: N.
    capacity: _Count
    #: Units in the job tracker or handed out and not started.
    queued: _Count
    #: Time-weighted fill of the job tracker since the report before, 0 to 1.
    utilization: float
    slots: _Count
    busy: _Count
    workloads: list[_Text]
    units: list[UnitKey]
    agents: list[AgentState] = []
    #: An answer is wanted at once: it holds units that may have been given up.
    asks: bool = False
    launcher: Launching | None = None


class StatusKind(StrEnum):
    """The last word of ``status.<kind>`` for everything but the leader's report."""

    PROCESSING = "processing"
    SUCCESS = "success"
    ERROR = "error"
    FAILED = "failed"
    RETURNED = "returned"
    LOST = "lost"
    #: No move: an agent without a leader vouches for what it runs.
    HOLDING = "holding"


class Ended(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One unit's news; which elements are used depends on the kind of its :class:`Status`."""

    unit: _UnitId
    attempt: _Attempt
    #: Seconds it ran, where it did; a unit that ended before its ``processing`` left says so here.
    ran: float | None = None
    #: success: the result, JSON of at most 64 KiB.
    result: msgspec.Raw = msgspec.Raw(b"null")
    #: error, failed: what went wrong. returned, lost: the cause (:class:`Gave`).
    why: str = ""
    #: error, failed: the last 16 KiB that the unit printed.
    output: str = ""

    @property
    def key(self) -> UnitKey:
        """The (unit, attempt) that the news is of."""
        return self.unit, self.attempt


class Gave(StrEnum):
    """Why a unit came back without having ended: the closed list for ``returned`` and ``lost``."""

    #: A redelivered box message that this leader did not hold.
    REDELIVERED = "redelivered"
    #: The hand-out did not reach the agent.
    UNREACHED = "unreached"
    #: The agent was asked to end, or ended by itself while draining.
    DRAINED = "drained"
    #: Nobody led the box for too long.
    LEADERLESS = "leaderless"
    #: The agent does not offer the unit's workload, or is not wanted.
    REFUSED = "refused"
    #: A leader that no longer leads handed it out.
    SUPERSEDED = "superseded"
    #: The leader stops.
    STOPPED = "stopped"
    #: The box has no agents, and another one has free slots.
    RECALLED = "recalled"
    #: lost: the agent's process ended while it ran the unit.
    EXITED = "exited"


class Status(msgspec.Struct, kw_only=True):
    """Agent or leader -> API, ``status.<kind>``: news of units."""

    v: int = VERSION
    ledger: _Text
    box: _Text
    #: The sender's incarnation, and its label.
    source: _Text
    name: _Text = ""
    kind: StatusKind
    units: list[Ended]


class Control(msgspec.Struct, kw_only=True):
    """API -> leader of a box and its agents: the state that they need, said again and again."""

    v: int = VERSION
    ledger: _Text
    box: _Text
    #: The incarnation that the ledger takes reports of.
    leader: _Text
    going: bool
    #: Waiting units by workload.
    backlog: dict[str, int]
    #: Weights of the accounts that have units in the box.
    weights: dict[str, float]
    #: Named in a report and no longer open: drop them.
    closed: list[UnitKey]
    #: Agents (incarnations) that shall drain.
    draining: list[str]
    #: The box has no agents, and another one has free slots: give back what has not started.
    recalled: bool = False
    #: Leaders whose reports were refused, since another one was adopted after them: begin anew.
    refused: list[str] = []
    #: Numbers of reports of ``leader`` that this answers: what they name, and ``closed`` does not,
    #: was open when they were applied.
    answered: list[int] = []


class Barrier(msgspec.Struct, kw_only=True):
    """API -> inbox: when it comes out, epoch ``epoch`` is over."""

    v: int = VERSION
    ledger: _Text
    epoch: int


Message = Out | Track | Roll | Work | Report | Status | Control | Barrier
