"""``rtb chaos``: kills everything, and checks from outside that nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import click

from rtb.cli.chaos_calm import long, recovery
from rtb.cli.chaos_yarn import yarn
from rtb.cli.progress import Bar
from rtb.cli.running import run

__all__ = ["chaos"]


_HELP = """Run a whole system under faults, and check its promises from outside.

Roles and private servers are killed, frozen, cut off and wiped while units run; afterwards
the ledger, the broker, every answer of the API and what the units wrote down themselves must
agree that nothing was lost, run twice or over the bound. docs/reliability.md says what is
checked. The exit code is 0 only if all of it held.

RTB_DATABASE_URL and RTB_AMQP_URL name servers to use instead; these are not killed, and the
ledger must be empty.
"""


@click.group()
def chaos() -> None:
    """Kill what runs, and check from outside what is promised.

    push, nightly and release are the same storm in three sizes; recovery and long are about one
    fault at a time, at default settings; yarn is a storm on Hadoop YARN. All use private servers.
    """


def _tier(name: str) -> click.Command:
    @click.command(name, help=_HELP, short_help=f"A storm of faults, as much as {name} wants.")
    @click.option("--seed", type=int, help="Replay the faults of that run. [default: by chance]")
    @click.option("--runs", type=click.IntRange(1), help="Runs, instead of what the tier has.")
    @click.option("--jobs", type=click.IntRange(1), default=1, help="Runs at a time. [default: 1]")
    @click.option("--units", type=click.IntRange(20), help="Units per run.")
    @click.option(
        "--keep",
        type=click.Path(path_type=Path, file_okay=False),
        help="Keep logs and what units wrote there, also of runs in which all held.",
    )
    def storm(
        seed: int | None, runs: int | None, jobs: int, units: int | None, keep: Path | None
    ) -> None:
        _storm(name, seed, runs, jobs, units, keep)

    return storm


def _storm(
    tier: str,
    seed: int | None,
    runs: int | None,
    jobs: int,
    units: int | None,
    keep: Path | None,
) -> None:
    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        from random import SystemRandom

        from rtb.chaos.campaign import Campaign
        from rtb.chaos.tiers import TIERS

        figures = TIERS[tier]
        if units is not None:
            figures = attrs.evolve(figures, units=units)

        def say(text: str) -> None:
            bar.to(len(campaign.outcomes))
            click.echo(text)

        first = SystemRandom().randrange(10**6) if seed is None else seed
        click.echo(f"rtb chaos {tier} --seed {first}")
        bar = Bar("chaos", figures.runs if runs is None else runs, "runs", live=False)
        campaign = Campaign(
            reactor=reactor,
            environ=os.environ,
            tier=figures,
            runs=runs,
            jobs=jobs,
            seed=first,
            say=say,
            directory=keep,
        )
        return 0 if await campaign.run() else 1

    run(work)


for _name in ("push", "nightly", "release"):
    chaos.add_command(_tier(_name))
chaos.add_command(recovery)
chaos.add_command(long)
chaos.add_command(yarn)
