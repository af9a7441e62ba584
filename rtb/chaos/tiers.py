"""How much of everything: the tiers of ``rtb chaos``."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["TIERS", "Tier"]


@attrs.frozen(kw_only=True)
class Tier:
    """The figures of a tier; all but ``runs`` are of one run."""

    runs: int
    units: int
    #: Seconds between two faults, in the mean.
    gap: float
    faults: Mapping[str, int]
    #: How often each failpoint is to be met, over all runs.
    failpoints: int
    #: Seconds that the long units take.
    long: float
    #: Bad messages sent when it is calm again.
    rubbish: int


#: One run: a bit of everything. Kills of roles by failpoints come on top.
_RUN = {
    "kill api": 4,
    "kill leader": 4,
    "kill agent": 5,
    "kill two roles": 2,
    "end a role": 2,
    "freeze api": 1,
    "freeze leader": 1,
    "freeze agent": 2,
    "silent link": 3,
    "slow link": 1,
    "cut link": 3,
    "half-closed link": 2,
    "bad messages": 2,
    "kill postgres": 3,
    "freeze postgres": 1,
}
TIERS: Mapping[str, Tier] = {
    "push": Tier(
        runs=1,
        units=500,
        gap=1.5,
        faults={**_RUN, "kill rabbit": 1, "freeze rabbit": 1, "wipe rabbit": 1, "memory alarm": 1},
        failpoints=1,
        long=12.0,
        rubbish=100,
    ),
    "nightly": Tier(
        runs=60,
        units=500,
        gap=1.6,
        faults={**_RUN, "kill rabbit": 1, "freeze rabbit": 1, "wipe rabbit": 1, "memory alarm": 1},
        failpoints=5,
        long=20.0,
        rubbish=17,
    ),
    "release": Tier(
        runs=200,
        units=500,
        gap=1.6,
        faults={
            **_RUN,
            "kill two roles": 3,
            "kill postgres": 3,
            "kill rabbit": 2,
            "freeze rabbit": 1,
            "wipe rabbit": 1,
            "memory alarm": 1,
            "kill both servers": 1,
        },
        failpoints=20,
        long=20.0,
        rubbish=50,
    ),
}
