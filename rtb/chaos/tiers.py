"""How much of everything: the tiers of ``rtb chaos``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

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
    #: How often each failpoint is to be met, and each kind of message lost, over all runs.
    failpoints: int
    #: Seconds that the long units take.
    long: float
    #: Bad messages sent when it is calm again.
    rubbish: int
    #: Further faults, of which each run has one entry.
    turns: Sequence[Mapping[str, int]] = ({},)

    def of_run(self, seed: int) -> Self:
        """Return this tier with all faults of the run *seed*."""
        return attrs.evolve(
            self, faults={**self.faults, **self.turns[seed % len(self.turns)]}, turns=({},)
        )


#: What a run of push and release has of everything. Kills of roles by failpoints come on top.
_ROLES = {
    "kill api": 3,
    "kill leader": 3,
    "kill agent": 4,
    "kill two roles": 1,
    "end a role": 2,
    "freeze api": 1,
    "freeze leader": 1,
    "freeze agent": 1,
    "silent link": 2,
    "slow link": 1,
    "cut link": 2,
    "half-closed link": 1,
    "step a clock": 3,
    "bad messages": 1,
    "forged words": 1,
    "kill postgres": 1,
}
_SERVERS = {"kill rabbit": 1, "freeze rabbit": 1, "wipe rabbit": 1, "memory alarm": 1}
TIERS: Mapping[str, Tier] = {
    "push": Tier(
        runs=1,
        units=500,
        gap=1.3,
        faults={
            **_ROLES,
            **_SERVERS,
            "kill api": 4,
            "kill leader": 4,
            "kill agent": 5,
            "kill two roles": 2,
            "freeze agent": 2,
            "kill postgres": 3,
            "freeze postgres": 1,
        },
        failpoints=1,
        long=12.0,
        rubbish=100,
    ),
    "nightly": Tier(
        runs=60,
        units=500,
        gap=1.2,
        faults={
            "kill api": 3,
            "kill leader": 3,
            "kill agent": 4,
            "kill two roles": 1,
            "kill postgres": 1,
            "forged words": 1,
        },
        turns=(
            {"freeze agent": 1, "silent link": 1, "kill rabbit": 1},
            {"freeze leader": 1, "cut link": 1, "wipe rabbit": 1},
            {"freeze api": 1, "step a clock": 1, "memory alarm": 1, "freeze postgres": 1},
            {"freeze agent": 1, "slow link": 1, "kill rabbit": 1, "bad messages": 1},
            {"half-closed link": 1, "end a role": 1, "wipe rabbit": 1},
            {"silent link": 1, "freeze rabbit": 1, "memory alarm": 1, "freeze postgres": 1},
        ),
        failpoints=5,
        long=12.0,
        rubbish=17,
    ),
    "release": Tier(
        runs=200,
        units=500,
        gap=1.6,
        faults={
            **_ROLES,
            **_SERVERS,
            "kill two roles": 3,
            "kill postgres": 3,
            "kill rabbit": 2,
            "freeze postgres": 1,
            "kill both servers": 1,
        },
        failpoints=20,
        long=20.0,
        rubbish=50,
    ),
}
