"""From runs to medians, ratios, a summary and a table: arithmetic only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

#: The order of processes in every table and plot.
PROCESSES = ("client", "API", "leader", "agent", "worker", "PostgreSQL", "RabbitMQ")

Run = Mapping[str, Any]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* that at least *share* of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-len(ordered) * share // 1) - 1))]


def medians(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the median of every figure of *runs*, also of those inside mappings."""
    first = runs[0]
    merged: dict[str, Any] = {}
    for key, value in first.items():
        if isinstance(value, Mapping):
            merged[key] = medians([run[key] for run in runs])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            merged[key] = round(median(run[key] for run in runs), 4)
        else:
            merged[key] = value
    return merged


def ratio(one: Run | None, other: Run | None, key: str) -> float | None:
    """Return one's figure over the other's; None where either was not measured."""
    if one is None or other is None or not other.get(key) or one.get(key) is None:
        return None
    return round(float(one[key]) / float(other[key]), 3)


def summary(
    found: Mapping[str, Run], intake: float | None, wire: Run | None = None
) -> dict[str, Any]:
    """Return the last line: what the medians *found* by system say of rtb."""
    rtb, defaults = found.get("rtb"), found.get("rtb-defaults")
    pgboss, celery, dramatiq = (found.get(name) for name in ("pg-boss", "celery", "dramatiq"))
    return {
        "vs_pgboss": ratio(rtb, pgboss, "units_s"),
        "vs_celery": ratio(rtb, celery, "units_s"),
        "vs_celery_defaults": ratio(defaults, celery, "units_s"),
        "vs_dramatiq": ratio(rtb, dramatiq, "units_s"),
        "units_s": rtb and rtb["units_s"],
        "cpu_ms_per_unit": rtb and rtb["cpu_ms_per_unit"],
        "idle_p50_ms": rtb and rtb["idle_p50_ms"],
        "idle_p99_ms": rtb and rtb["idle_p99_ms"],
        "idle_p50_vs_pgboss": ratio(rtb, pgboss, "idle_p50_ms"),
        "idle_p50_vs_wire": ratio(rtb, wire, "idle_p50_ms"),
        "wire_p50_ms": wire and wire["idle_p50_ms"],
        "intake_units_s": intake,
        "foreign_cores": max((run["foreign_cores"] for run in found.values()), default=None),
    }


def table(found: Mapping[str, Run]) -> str:
    """Return the medians *found* by system as Markdown: what came out, then what it took."""
    rtb = found.get("rtb")
    rates = [
        [
            name,
            f"{run['units']:,.0f}",
            f"{run['intake_s']:,.0f}",
            f"{run['units_s']:,.0f}",
            _times(ratio(rtb, run, "units_s")),
            f"{run['cpu_ms_per_unit']:.3f}",
            f"{run['idle_p50_ms']:.1f}",
            f"{run['idle_p99_ms']:.1f}",
            f"{run['foreign_cores']:.2f}",
        ]
        for name, run in found.items()
    ]
    head = ["system", "units", "intake/s", "units/s", "rtb is", "CPU ms/unit"]
    head += ["idle p50 ms", "idle p99 ms", "other cores"]
    cpu = [[name, *by_process(run["cpu_us_per_unit"])] for name, run in found.items()]
    memory = [[name, *by_process(run["rss_mb"])] for name, run in found.items()]
    return "\n".join(
        [
            *markdown(head, rates),
            "",
            *markdown(["CPU µs/unit", *PROCESSES], cpu),
            "",
            *markdown(["RSS at most, MB", *PROCESSES], memory),
        ]
    )


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} times"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [[*head], ["-" * width for width in widths], *rows]
    padded = [
        [text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines
    ]
    return [f"| {' | '.join(line)} |" for line in padded]


def by_process(values: Mapping[str, float]) -> list[str]:
    """Return the cells of *values* in the order of :data:`PROCESSES`."""
    return [f"{values[name]:,.0f}" if name in values else "-" for name in PROCESSES]


def slot_time_lost(ends: Sequence[float], slots: int, seconds: float) -> float:
    """Return which share of the time of *slots* slots was not spent on units of *seconds* each.

    A slot's first end and its last one are some units apart, and the time between them is all that
    these units took. Who ran what is not asked: the first *slots* ends are the slots' first ones,
    and the last are their last. So neither a start nor an end with idle slots counts.

    :param ends: when each unit ended, of more than two for each slot
    """
    ordered = sorted(ends)
    between = sum(ordered[-slots:]) - sum(ordered[:slots])
    return 1 - seconds * (len(ordered) - slots) / between


def knee(rates: Mapping[int, float]) -> int:
    """Return the largest count whose rate is within a tenth of the best."""
    best = max(rates.values())
    return max(count for count, rate in rates.items() if rate >= 0.9 * best)
