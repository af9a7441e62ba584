"""``rtb chaos``: kills everything, and checks from outside that nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import click

from rtb.cli.running import run

__all__ = ["chaos"]


@click.command()
@click.argument("tier", type=click.Choice(["push", "nightly", "release", "yarn"]), default="push")
@click.option("--seed", type=int, help="Replay the faults of that run. [default: by chance]")
@click.option("--runs", type=click.IntRange(1), help="Runs, instead of what the tier has.")
@click.option("--units", type=click.IntRange(20), help="Units per run.")
@click.option("--kills", type=click.IntRange(1), help="Kills, with yarn.  [default: 30]")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep logs and what units wrote there, also of runs in which all held.",
)
def chaos(
    tier: str,
    seed: int | None,
    runs: int | None,
    units: int | None,
    kills: int | None,
    keep: Path | None,
) -> None:
    """Run a whole system under faults, and check its promises from outside.

    Roles and private servers are killed, frozen, cut off and wiped while units run; afterwards
    the ledger, the broker, every answer of the API and what the units wrote down themselves must
    agree that nothing was lost, run twice or over the bound. docs/reliability.md says what is
    checked. The exit code is 0 only if all of it held.

    yarn is one run on a private Hadoop YARN, with agents in its containers: ResourceManager,
    NodeManager, ApplicationMaster, agents and leader are killed in an order by chance.

    RTB_DATABASE_URL and RTB_AMQP_URL name servers to use instead; these are not killed, and the
    ledger must be empty.
    """

    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        from random import SystemRandom

        from rtb.chaos.campaign import Campaign
        from rtb.chaos.tiers import TIERS
        from rtb.chaos.yarn.campaign import run_on_yarn

        first = SystemRandom().randrange(10**6) if seed is None else seed
        click.echo(f"rtb chaos {tier} --seed {first}")
        if tier == "yarn":
            held = await run_on_yarn(
                reactor, units=units or 1800, kills=kills or 30, seed=first, say=click.echo,
                directory=keep,
            )  # fmt: skip
            return 0 if held else 1
        figures = TIERS[tier]
        figures = attrs.evolve(
            figures,
            runs=figures.runs if runs is None else runs,
            units=figures.units if units is None else units,
        )
        campaign = Campaign(
            reactor=reactor,
            environ=os.environ,
            tier=figures,
            seed=first,
            say=click.echo,
            directory=keep,
        )
        return 0 if await campaign.run() else 1

    run(work)
