"""What is said of runs: a table of figures, and what was broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rtb.chaos.checks import CHECKS, broken, executions_per_unit, refused
from rtb.chaos.run import Outcome
from rtb.failpoint import LOSSES, POINTS

__all__ = ["describe", "markdown", "table", "verdict"]

_SHOWN = 5


def verdict(outcome: Outcome) -> Iterator[str]:
    """Yield lines on what a run has broken; none when all held."""
    for name, problems in broken(outcome.evidence).items():
        title = (CHECKS[name].__doc__ or "").partition("\n")[0]
        yield f"BROKEN {title} ({len(problems)} times)"
        yield from (f"    {problem}" for problem in list(dict.fromkeys(problems))[:_SHOWN])


def describe(outcome: Outcome) -> str:
    """Return a run in one line."""
    evidence = outcome.evidence
    kills = sum(end.cause != "term" for end in outcome.ends)
    took = (
        f"settled {evidence.settled_at - evidence.calm_at:.1f} s after the last fault"
        if evidence.settled_at is not None
        else "NOT settled"
    )
    return (
        f"seed {outcome.seed}: {len(evidence.units)} units, {kills} kills, "
        f"{sum(outcome.faults.values())} faults, {executions_per_unit(evidence):.3f} executions "
        f"per unit, {took}, {outcome.seconds:.0f} s"
    )


def markdown(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return *rows* as lines of a Markdown table."""
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def table(outcomes: Sequence[Outcome], met: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return the figures of all runs, as rows.

    :param met: how often each failpoint was met
    """
    faults: Counter[str] = sum((outcome.faults for outcome in outcomes), Counter())
    at_points = [met[point] for point in POINTS if met.get(point)]
    lost = {point.removeprefix("lost-"): met[point] for point in LOSSES if met.get(point)}
    bad: Counter[str] = sum((outcome.evidence.bad_kinds for outcome in outcomes), Counter())
    seconds = sum(outcome.seconds for outcome in outcomes)
    ends = [end for outcome in outcomes for end in outcome.ends]
    by_role = Counter(end.kind for end in ends if end.cause != "term")
    units = sum(len(outcome.evidence.units) for outcome in outcomes)
    runs = [
        executions_per_unit(outcome.evidence) * len(outcome.evidence.units) for outcome in outcomes
    ]
    rows = [
        ("runs", f"{len(outcomes)}, {seconds / max(1, len(outcomes)):.0f} s each"),
        ("units settled", f"{units}"),
        ("kills of roles", ", ".join(f"{by_role[k]} {k}" for k in sorted(by_role))),
        (
            "of these by failpoint",
            f"{sum(at_points)}; {len(at_points)} of {len(POINTS)} points met, "
            f"each {min(at_points, default=0)} times or more",
        ),
        ("messages lost", f"{sum(lost.values())}: {_counted(lost)}"),
        *((f"fault: {name}", str(count)) for name, count in sorted(faults.items())),
        ("executions per unit", f"{sum(runs) / max(1, units):.3f}"),
        ("late words refused", str(sum(refused(outcome.evidence) for outcome in outcomes))),
        ("answers of the API", _answers(outcomes)),
        ("bad messages, each dead", f"{sum(bad.values())} of {len(bad)} kinds"),
    ]
    for what in sorted({what for outcome in outcomes for what in outcome.recoveries}):
        times = sorted(time for outcome in outcomes for time in outcome.recoveries.get(what, ()))
        rows.append((f"next settled after {what} died", _spread(times)))
    settled = sorted(
        outcome.evidence.settled_at - outcome.evidence.calm_at
        for outcome in outcomes
        if outcome.evidence.settled_at is not None
    )
    rows.append(("all settled after the last fault", _spread(settled)))
    return rows


def _answers(outcomes: Sequence[Outcome]) -> str:
    answers = [answer for outcome in outcomes for answer in outcome.evidence.answers]
    times = sorted(answer.seconds for answer in answers)
    refused_ = sum(answer.code == 503 for answer in answers)
    return f"{len(answers)}, {refused_} of them 503; {_spread(times)}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _spread(times: Sequence[float]) -> str:
    if not times:
        return "none"

    def at(share: float) -> float:
        return times[min(len(times) - 1, int(share * len(times)))]

    return f"p50 {at(0.5):.2f} s, p95 {at(0.95):.2f} s, most {times[-1]:.2f} s"
