"""The invariants, over the evidence of a run. Pure: each returns what is wrong, in words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from rtb.chaos.evidence import Away, Event, Evidence
from rtb.model.lifecycle import CLOSING, OUTCOMES, Kind, rank

__all__ = ["CHECKS", "broken", "executions_per_unit", "fence_used", "refused"]

_OUTCOMES = frozenset(str(outcome) for outcome in OUTCOMES)
_CLOSING = frozenset(str(kind) for kind in CLOSING)
#: What ends while its agent stands still is late, unless other faults end that agent, or keep the
#: ledger from giving the unit up: of so many times it happens at least once.
_FREEZES = 10
#: Seconds for an answer: what the API promises, and what a busy machine adds.
ANSWER_LIMIT = 2.0
ANSWER_GRACE = 1.5
#: Seconds after which an API must have noticed that a server is gone, or that it is back.
NOTICE = 2.0
READY_LIMIT = 15.0

Check = Callable[[Evidence], Iterator[str]]


def _of_unit(evidence: Evidence) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = defaultdict(list)
    for event in evidence.events:
        found[event.unit].append(event)
    return found


def nothing_lost(evidence: Evidence) -> Iterator[str]:
    """I1: all that was accepted is there and settled; nothing else is there."""
    present = Counter(unit.order for unit in evidence.units)
    for order, count in evidence.accepted.items():
        if present[order] != count:
            yield f"order {order} was accepted with {count} units and has {present[order]}"
    for order, count in present.items():
        if order in evidence.accepted:
            continue
        if evidence.unsure.get(order) != count:
            yield f"order {order} with {count} units was never placed so"
    for unit in evidence.units:
        if unit.status not in _OUTCOMES:
            yield f"unit {unit.id} is {unit.status} at the end"


def one_outcome(evidence: Evidence) -> Iterator[str]:
    """I2: one outcome per unit and round, and the last is what the unit shows."""
    events = _of_unit(evidence)
    for unit in evidence.units:
        outcomes = [event for event in events[unit.id] if event.kind in _OUTCOMES]
        rounds = [event.round for event in outcomes]
        if unit.status in _OUTCOMES and rounds != list(range(1, unit.round + 1)):
            yield f"unit {unit.id} in round {unit.round} has outcomes in rounds {rounds}"
        elif outcomes and unit.status in _OUTCOMES and outcomes[-1].kind != unit.status:
            yield f"unit {unit.id} is {unit.status}, its history says {outcomes[-1].kind}"


def forward_only(evidence: Evidence) -> Iterator[str]:
    """I3: no attempt goes back, nothing happens twice to one, and nothing after an outcome."""
    for unit, events in _of_unit(evidence).items():
        over: int | None = None
        furthest: dict[int, int] = {}
        closed: set[int] = set()
        for event in events:
            if event.kind == Kind.RETRIED:
                over = None
                continue
            if over is not None:
                yield f"unit {unit}: {event.kind} after its outcome"
            if event.kind in _OUTCOMES:
                over = event.round
            if event.attempt in closed:
                yield f"unit {unit}: {event.kind} of attempt {event.attempt}, which was closed"
            far = rank(Kind(event.kind))
            if far <= furthest.get(event.attempt, -1):
                yield f"unit {unit}: attempt {event.attempt} went back to {event.kind}"
            furthest[event.attempt] = far
            if event.kind in _CLOSING:
                closed.add(event.attempt)


def within_bound(evidence: Evidence) -> Iterator[str]:
    """I4: never more than N units on their way to a box, at the moment of any claim."""
    on_the_way: Counter[str] = Counter()
    box_of: dict[tuple[int, int], str] = {}
    worst: Counter[str] = Counter()
    for event in evidence.events:
        key = event.unit, event.attempt
        if event.kind == Kind.CLAIMED:
            box_of[key] = event.who
            on_the_way[event.who] += 1
            worst[event.who] = max(worst[event.who], on_the_way[event.who])
        elif event.kind == Kind.PROCESSING or event.kind in _CLOSING:
            box = box_of.pop(key, None)
            if box is not None:
                on_the_way[box] -= 1
    for box, most in worst.items():
        if most > evidence.bound:
            yield f"box {box} had {most} units on their way, more than {evidence.bound}"


def run_once(evidence: Evidence) -> Iterator[str]:
    """I5: no attempt ran twice, none ran unasked, and each result was really produced."""
    starts = Counter(
        (line.unit, line.attempt) for line in evidence.executions if line.word == "start"
    )
    for (unit, attempt), times in starts.items():
        if times > 1:
            yield f"attempt {attempt} of unit {unit} ran {times} times"
    claimed = {
        (event.unit, event.attempt) for event in evidence.events if event.kind == Kind.CLAIMED
    }
    for unit, attempt in starts:
        if (unit, attempt) not in claimed:
            yield f"attempt {attempt} of unit {unit} ran and was never given out"
    yield from _produced(evidence)


def _produced(evidence: Evidence) -> Iterator[str]:
    ended = {
        (line.unit, line.attempt): line.result for line in evidence.executions if line.word == "end"
    }
    final = {event.unit: event.attempt for event in evidence.events if event.kind in _OUTCOMES}
    for unit in evidence.units:
        if unit.status == "cancelled" or unit.status not in _OUTCOMES or unit.losses >= 3:
            continue
        really = ended.get((unit.id, final.get(unit.id, 0)))
        told = "success" if really == "success" else "error" if really else None
        if told != unit.status:
            yield f"unit {unit.id} is {unit.status}; what ran ended with {really}"
        elif unit.status == "success" and unit.result_attempt != final[unit.id]:
            yield f"unit {unit.id} shows the result of attempt {unit.result_attempt}"


def attempts_add_up(evidence: Evidence) -> Iterator[str]:
    """I6: every attempt was given out once, and closed once unless it is open."""
    events = _of_unit(evidence)
    for unit in evidence.units:
        claimed = [event.attempt for event in events[unit.id] if event.kind == Kind.CLAIMED]
        closed = sum(
            event.kind in _CLOSING and event.attempt in set(claimed) for event in events[unit.id]
        )
        if claimed != list(range(1, unit.attempt + 1)):
            yield f"unit {unit.id} at attempt {unit.attempt} was claimed as {claimed}"
        if len(claimed) != closed + (unit.active is not None):
            yield f"unit {unit.id}: {len(claimed)} attempts, {closed} closed, open {unit.active}"
    if evidence.flights:
        yield f"{evidence.flights} attempts are in flight at the end"


def counters_exact(evidence: Evidence) -> Iterator[str]:
    """C1: in every snapshot each counter equals its count."""
    yield from evidence.miscounts


def sums_right(evidence: Evidence) -> Iterator[str]:
    """H1: what the summary shows adds up."""
    for answer in evidence.answers:
        if answer.units is not None:
            total = answer.units["total"]
            if sum(answer.units.values()) != 2 * total:
                yield f"{answer.api} at {answer.at:.1f} s shows {dict(answer.units)}"


def tracker_bounded(evidence: Evidence) -> Iterator[str]:
    """H2: no leader shows more in its job tracker than N."""
    for answer in evidence.answers:
        for box, queued, capacity in answer.leaders:
            if queued > capacity:
                yield f"box {box} at {answer.at:.1f} s holds {queued}, more than {capacity}"


def always_answers(evidence: Evidence) -> Iterator[str]:
    """H3: every answer comes within 2 s; it is 200, or 503 with Retry-After."""
    for answer in evidence.answers:
        where = f"{answer.api}{answer.path} at {answer.at:.1f} s"
        if answer.code is None:
            yield f"{where}: no answer in {answer.seconds:.1f} s: {answer.why}"
        elif answer.seconds > ANSWER_LIMIT + ANSWER_GRACE:
            yield f"{where}: answered after {answer.seconds:.1f} s"
        elif answer.code not in (200, 503) or (answer.code == 503 and not answer.retry_after):
            yield f"{where}: {answer.code}, Retry-After {answer.retry_after}"


def _awake_since(evidence: Evidence, api: str, away: Away) -> float:
    """Return since when *api* could notice *away*: not while it stood still itself."""
    pauses = [pause for pause in evidence.frozen if pause.server == api]
    return max(
        [away.since, *(pause.until for pause in pauses if pause.since < away.until)],
    )


def readiness_true(evidence: Evidence) -> Iterator[str]:
    """H4: alive is always said; ready only while both servers are there, and soon again."""
    for answer in evidence.answers:
        if answer.path == "/livez" and answer.code not in (200, None):
            yield f"{answer.api}/livez at {answer.at:.1f} s: {answer.code}"
        if answer.path != "/readyz":
            continue
        if answer.code == 200:
            for away in evidence.away:
                noticed = _awake_since(evidence, answer.api, away) + NOTICE + answer.starved
                if noticed < answer.at and answer.at + answer.seconds < away.until:
                    yield f"{answer.api} says ready at {answer.at:.1f} s, without {away.server}"
        elif answer.code == 503 and answer.at > evidence.calm_at + READY_LIMIT:
            yield f"{answer.api} is not ready {answer.at - evidence.calm_at:.0f} s after all faults"


def queues_empty(evidence: Evidence) -> Iterator[str]:
    """B1: nothing is left in a box or in the inbox, but a barrier of an API that ended then.

    Barriers come once an epoch whatever goes on, and say nothing of any unit.
    """
    for queue, keys in evidence.queues.items():
        if left := [key for key in keys if key != "barrier"]:
            yield f"{len(left)} messages are left in {queue}: {', '.join(sorted(set(left)))}"


def dead_exact(evidence: Evidence) -> Iterator[str]:
    """B2: in ``dead`` are exactly the bad messages."""
    for letter in evidence.dead_strange:
        yield f"dead, and nobody injected it: {letter}"
    for letter in evidence.dead_missing:
        yield f"injected, and not dead: {letter}"


def logs_clean(evidence: Evidence) -> Iterator[str]:
    """L1: no log shows an unhandled error, a traceback or a secret; no process ended by itself."""
    yield from evidence.log_lines
    yield from evidence.crashes


def settled_soon(evidence: Evidence) -> Iterator[str]:
    """R1: when the faults are over, all is settled within the limit."""
    if evidence.settled_at is None:
        yield f"not all settled {evidence.settle_limit:.0f} s after the last fault"
    elif evidence.settled_at - evidence.calm_at > evidence.settle_limit:
        took = evidence.settled_at - evidence.calm_at
        yield f"settled {took:.0f} s after the last fault; the limit is {evidence.settle_limit:.0f}"


def refused(evidence: Evidence) -> int:
    """Return how many executions ended after their attempt had been closed otherwise."""
    kinds: dict[tuple[int, int], str] = {
        (event.unit, event.attempt): event.kind
        for event in evidence.events
        if event.kind in _CLOSING
    }
    gave = {"success", "failed", "error"}
    return sum(
        line.word == "end" and kinds.get((line.unit, line.attempt), line.result) not in gave
        for line in evidence.executions
    )


def executions_per_unit(evidence: Evidence) -> float:
    """Return how often units ran, not counting what they failed and were tried again for."""
    starts = sum(line.word == "start" for line in evidence.executions)
    failed = sum(event.kind == Kind.FAILED for event in evidence.events)
    return (starts - failed) / max(1, len(evidence.units))


#: By the names that docs/reliability.md explains.
CHECKS: dict[str, Check] = {
    "I1": nothing_lost,
    "I2": one_outcome,
    "I3": forward_only,
    "I4": within_bound,
    "I5": run_once,
    "I6": attempts_add_up,
    "C1": counters_exact,
    "H1": sums_right,
    "H2": tracker_bounded,
    "H3": always_answers,
    "H4": readiness_true,
    "B1": queues_empty,
    "B2": dead_exact,
    "L1": logs_clean,
    "R1": settled_soon,
}


def fence_used(evidences: Sequence[Evidence]) -> bool:
    """M1: where agents were frozen ten times or more, late words came, and were refused."""
    frozen = sum(evidence.froze_agents for evidence in evidences)
    return frozen < _FREEZES or any(map(refused, evidences))


def broken(evidence: Evidence) -> dict[str, list[str]]:
    """Return what is wrong, by invariant; empty when all hold."""
    found = {name: list(check(evidence)) for name, check in CHECKS.items()}
    return {name: problems for name, problems in found.items() if problems}
