"""A good history passes every check; each corruption of it is caught by the check it is for."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from rtb.chaos.checks import CHECKS, broken, executions_per_unit, fence_used, refused
from rtb.chaos.evidence import Answer, Away, Event, Evidence, Execution, Unit, read_executions


def _events(*rows: tuple[int, int, str]) -> list[Event]:
    return [
        Event(number, unit, 1, attempt, kind, "outbox")
        for number, (unit, attempt, kind) in enumerate(rows, 1)
    ]


def good() -> Evidence:
    """Unit 1 succeeds; 2 fails and then succeeds; 3 is rescued, its late word refused; 4 fails."""
    counts = {"waiting": 1, "sent": 0, "queued": 1, "processing": 1, "success": 1, "total": 4}
    return Evidence(
        bound=2,
        accepted={"first": 3},
        unsure={"second": 1, "third": 7},
        units=[
            Unit(1, "first", "a", "success", 1, None, 1, 0, 1),
            Unit(2, "first", "b", "success", 2, None, 1, 0, 2),
            Unit(3, "first", "c", "success", 2, None, 1, 0, 2),
            Unit(4, "second", "d", "error", 1, None, 1, 0, None),
        ],
        events=_events(
            (1, 1, "claimed"), (2, 1, "claimed"), (1, 1, "queued"), (1, 1, "processing"),
            (1, 1, "success"), (2, 1, "processing"), (3, 1, "claimed"), (2, 1, "failed"),
            (3, 1, "processing"), (3, 1, "rescued"), (2, 2, "claimed"), (3, 2, "claimed"),
            (2, 2, "processing"), (2, 2, "success"), (3, 2, "processing"), (3, 2, "success"),
            (4, 1, "claimed"), (4, 1, "processing"), (4, 1, "error"),
        ),
        executions=read_executions(
            f"{unit} {attempt} 7 {word} {result}"
            for unit, attempt, end in [
                (1, 1, "success"), (2, 1, "failed"), (2, 2, "success"), (3, 1, "success"),
                (3, 2, "success"), (4, 1, "error"),
            ]
            for word, result in [("start", "-"), ("end", end)]
        ),
        answers=[
            Answer(1.0, "api-0", "/", 0.1, 200, units=counts, leaders=(("outbox", 2, 2),)),
            Answer(2.0, "api-0", "/", 2.1, 503, retry_after=True),
            Answer(14.0, "api-0", "/readyz", 0.0, 503, retry_after=True),
            Answer(30.0, "api-0", "/readyz", 0.0, 200),
            Answer(30.0, "api-0", "/livez", 0.0, 200),
        ],
        away=[Away("postgres", 10.0, 20.0)],
        queues={"outbox": [], "inbox": ["barrier"]},
        froze_agents=5,
        calm_at=20.0,
        settled_at=30.0,
        settle_limit=15.0,
    )  # fmt: skip


def test_a_good_history() -> None:
    assert broken(good()) == {}
    assert refused(good()) == 1
    assert executions_per_unit(good()) == 5 / 4


def _status(evidence: Evidence, index: int, **change: object) -> None:
    evidence.units[index] = attrs.evolve(evidence.units[index], **change)


def _more(evidence: Evidence, *rows: tuple[int, int, str]) -> None:
    evidence.events += [
        Event(len(evidence.events) + number, unit, 1, attempt, kind, "outbox")
        for number, (unit, attempt, kind) in enumerate(rows, 1)
    ]


def _without(evidence: Evidence, unit: int, attempt: int, kind: str) -> None:
    evidence.events = [
        event
        for event in evidence.events
        if (event.unit, event.attempt, event.kind) != (unit, attempt, kind)
    ]


def _swap(evidence: Evidence, one: int, other: int) -> None:
    events = evidence.events
    events[one], events[other] = events[other], events[one]


def _answer(evidence: Evidence, **what: object) -> None:
    answer = Answer(40.0, "api-1", "/", 0.1, 200)
    evidence.answers.append(attrs.evolve(answer, **what))


CORRUPTIONS: dict[str, tuple[str, Callable[[Evidence], object]]] = {
    "a unit vanished": ("I1", lambda e: e.units.pop(0)),
    "a unit is stuck": ("I1", lambda e: _status(e, 0, status="processing", active=1)),
    "an order was invented": ("I1", lambda e: e.unsure.pop("second")),
    "an order came twice": ("I1", lambda e: e.accepted.update(first=2)),
    "two outcomes": ("I2", lambda e: _more(e, (1, 1, "error"))),
    "no outcome": ("I2", lambda e: _without(e, 1, 1, "success")),
    "another outcome than shown": ("I2", lambda e: _status(e, 0, status="error")),
    "it went back": ("I3", lambda e: _swap(e, 2, 3)),
    "an event after the outcome": ("I3", lambda e: _more(e, (1, 1, "processing"))),
    "an event of a closed attempt": ("I3", lambda e: _swap(e, 8, 9)),
    "the same event twice": ("I3", lambda e: e.events.insert(3, e.events[3])),
    "over the bound": ("I4", lambda e: setattr(e, "bound", 1)),
    "a claim too many": ("I4", lambda e: e.events.insert(0, e.events.pop(16))),
    "an attempt ran twice": ("I5", lambda e: e.executions.append(e.executions[0])),
    "it ran unasked": ("I5", lambda e: e.executions.append(Execution(1, 2, 7, "start", "-"))),
    "a result nobody produced": ("I5", lambda e: e.executions.pop(1)),
    "another result": ("I5", lambda e: e.executions.__setitem__(
        1, Execution(1, 1, 7, "end", "failed"))),
    "the result of another attempt": ("I5", lambda e: _status(e, 1, result_attempt=1)),
    "a claim vanished": ("I6", lambda e: _without(e, 2, 1, "claimed")),
    "an attempt never closed": ("I6", lambda e: _without(e, 3, 1, "rescued")),
    "a number given out twice": ("I6", lambda e: e.events.insert(0, e.events[0])),
    "still in flight": ("I6", lambda e: setattr(e, "flights", 1)),
    "a miscount": ("C1", lambda e: e.miscounts.append("box 1: 3 sent, 2 counted")),
    "a wrong sum": ("H1", lambda e: _answer(e, units={"waiting": 1, "total": 2})),
    "an overfull tracker": ("H2", lambda e: _answer(e, leaders=(("outbox", 3, 2),))),
    "a slow answer": ("H3", lambda e: _answer(e, seconds=4.0)),
    "no answer": ("H3", lambda e: _answer(e, code=None, why="reset")),
    "an internal error": ("H3", lambda e: _answer(e, code=500)),
    "503 without Retry-After": ("H3", lambda e: _answer(e, code=503)),
    "not alive": ("H4", lambda e: _answer(e, path="/livez", code=503, retry_after=True)),
    "ready without a server": ("H4", lambda e: _answer(e, path="/readyz", at=15.0)),
    "not ready again": (
        "H4", lambda e: _answer(e, path="/readyz", at=36.0, code=503, retry_after=True)),
    "a message left": ("B1", lambda e: e.queues.update(inbox=["barrier", "track"])),
    "a strange dead letter": ("B2", lambda e: e.dead_strange.append("status.success")),
    "a bad message that is nowhere": ("B2", lambda e: e.dead_missing.append("barrier")),
    "a traceback": ("L1", lambda e: e.log_lines.append("Traceback")),
    "a crash": ("L1", lambda e: e.crashes.append("api-0: exit code 1")),
    "settled too late": ("R1", lambda e: setattr(e, "settled_at", 36.0)),
    "never settled": ("R1", lambda e: setattr(e, "settled_at", None)),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_history_is_caught(name: str) -> None:
    check, corrupt = CORRUPTIONS[name]
    evidence = good()
    corrupt(evidence)
    assert check in broken(evidence), broken(evidence)


def test_a_fence_that_was_never_used_is_told_after_ten_frozen_agents() -> None:
    used, unused = good(), good()
    del unused.executions[6:8]
    assert fence_used([used, unused])
    assert fence_used([unused])
    assert not fence_used([unused, unused])


def test_who_stood_still_has_noticed_nothing() -> None:
    evidence = good()
    evidence.frozen = [Away("api-0", 9.0, 16.0), Away("api-1", 30.0, 60.0)]
    _answer(evidence, api="api-0", path="/readyz", at=15.0)
    _answer(evidence, api="api-2", path="/readyz", at=15.0, starved=4.0)
    assert broken(evidence) == {}
    _answer(evidence, api="api-0", path="/readyz", at=18.5)
    assert set(broken(evidence)) == {"H4"}


def test_each_check_has_a_corruption() -> None:
    assert {check for check, _ in CORRUPTIONS.values()} == set(CHECKS)
