"""What an outsider has seen of a run: rows, executions, answers, queues. Data, and no opinion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

__all__ = ["Answer", "Away", "Event", "Evidence", "Execution", "Unit", "read_executions"]


@attrs.frozen
class Unit:
    """A row of the ledger's units."""

    id: int
    order: str
    name: str
    status: str
    attempt: int
    active: int | None
    round: int
    losses: int
    #: The attempt that its result says it was made by; None where it has none.
    result_attempt: int | None


@attrs.frozen
class Event:
    """A line of history, in the order in which the ledger wrote it."""

    id: int
    unit: int
    round: int
    attempt: int
    kind: str
    who: str


@attrs.frozen
class Execution:
    """A line that a unit wrote itself."""

    unit: int
    attempt: int
    pid: int
    #: ``start`` or ``end``.
    word: str
    #: success, failed or error at the end.
    result: str


@attrs.frozen
class Answer:
    """What an API said, or did not, to a request of the sampler."""

    at: float
    api: str
    path: str
    #: Until it came, without those for which the machine had no processor for it.
    seconds: float
    #: None: no answer, though the API lived and was not frozen.
    code: int | None
    retry_after: bool = False
    #: The counts by status, where the summary was asked for and given.
    units: Mapping[str, int] | None = None
    #: Of each leader shown: box, queued, capacity.
    leaders: tuple[tuple[str, int, int], ...] = ()
    why: str = ""
    #: Seconds, of the last few, for which the machine had no processor for it.
    starved: float = 0.0


@attrs.frozen
class Away:
    """A time in which a server was not there, or a role stood still."""

    #: postgres, rabbit, or the name of a role's slot.
    server: str
    since: float
    until: float


@attrs.define
class Evidence:
    """All that is known of one run."""

    #: N.
    bound: int
    #: Units by order, of orders that the API has accepted ...
    accepted: dict[str, int] = attrs.field(factory=dict)
    #: ... and of those whose answer was lost: they may be there or not.
    unsure: dict[str, int] = attrs.field(factory=dict)
    units: list[Unit] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)
    executions: list[Execution] = attrs.field(factory=list)
    answers: list[Answer] = attrs.field(factory=list)
    away: list[Away] = attrs.field(factory=list)
    #: Times in which a role stood still: it could notice nothing.
    frozen: list[Away] = attrs.field(factory=list)
    #: Counters that did not equal their count in one snapshot, as text.
    miscounts: list[str] = attrs.field(factory=list)
    #: Open attempts when all was settled.
    flights: int = 0
    #: The keys of messages that were in durable queues when all had ended.
    queues: dict[str, list[str]] = attrs.field(factory=dict)
    #: Dead letters that nobody injected, those missing, and those injected while it was calm.
    dead_strange: list[str] = attrs.field(factory=list)
    dead_missing: list[str] = attrs.field(factory=list)
    dead_expected: int = 0
    #: How often each kind of bad message was injected while it was calm.
    bad_kinds: Counter[str] = attrs.field(factory=Counter)
    #: Lines of logs that must not be there.
    log_lines: list[str] = attrs.field(factory=list)
    #: Processes that ended by themselves, or not as asked.
    crashes: list[str] = attrs.field(factory=list)
    #: How often an agent was frozen for longer than its units lived on.
    froze_agents: int = 0
    #: When the last fault was over, when all was settled, and how long that may have taken.
    calm_at: float = 0.0
    settled_at: float | None = None
    settle_limit: float = 0.0


def read_executions(lines: Iterable[str]) -> list[Execution]:
    """Return what units wrote down."""
    found = []
    for line in lines:
        unit, attempt, pid, word, result = line.split()
        found.append(Execution(int(unit), int(attempt), int(pid), word, result))
    return found
