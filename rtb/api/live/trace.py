"""The past as a chart shows it: rates between samples of counts. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

__all__ = ["WINDOWS", "trace"]

#: Seconds that a chart shows, and seconds for each of its points.
WINDOWS = {"5m": (300, 5), "1h": (3600, 20), "24h": (86400, 300)}


def trace(samples: Sequence[tuple[Any, ...]], now: float, window: int, step: int) -> dict[str, Any]:
    """Return times and rates of the last *window* seconds, a point for each *step*.

    A sample is (at, waiting, held, processing, success, error, cancelled, fill), and holds until
    the next one: nothing is written while nothing changes.
    """
    times = [sample[0] for sample in samples]
    end = now // step * step
    edges = [end - step * i for i in range(window // step, -1, -1)]
    seen = [bisect_right(times, edge) - 1 for edge in edges]
    success = [samples[i][4] if i >= 0 else 0 for i in seen]
    error = [samples[i][5] if i >= 0 else 0 for i in seen]
    taken = [sum(samples[i][2:7]) if i >= 0 else 0 for i in seen]
    known = [i >= 0 for i in seen]
    return {
        "t": [round(edge) for edge in edges[1:]],
        "success": _rates(success, known, step),
        "error": _rates(error, known, step),
        "taken": _rates(taken, known, step),
        "fill": [round(100 * samples[i][7]) if i >= 0 else None for i in seen[1:]],
    }


def _rates(counts: Sequence[int], known: Sequence[bool], step: int) -> list[float | None]:
    rates: list[float | None] = []
    for i in range(1, len(counts)):
        gained = max(0, counts[i] - counts[i - 1])
        rates.append(round(gained / step, 3) if known[i - 1] else None)
    return rates
