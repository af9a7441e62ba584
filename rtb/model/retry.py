"""When a failed attempt is tried again, and how often.

Failures and losses are counted apart: a failure is the work's own, a loss is the end of the
agent's process while it ran the work (as in Faktory and YARN, where an innocent end counts for
nothing).
"""

from __future__ import annotations

__all__ = ["BACKOFF", "MAX_FAILURES", "MAX_LOSSES", "jitter"]

#: Seconds before the next attempt, by how often the unit has failed; the last one for the rest.
BACKOFF = (1.0, 2.0, 4.0)
#: Failures that settle a unit as ``error``, unless its order says otherwise.
MAX_FAILURES = 3
#: Witnessed losses that settle a unit as ``error``: it probably kills its agents.
MAX_LOSSES = 3


def jitter(fraction: float) -> float:
    """Return what to multiply a delay with, for a random *fraction* from 0 to 1.

    Spreads retries of units that failed together over half to one and a half of the delay.
    """
    return 0.5 + fraction
