"""``rtb chaos yarn``: a storm on a private Hadoop YARN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtb.cli.running import run

__all__ = ["yarn"]


@click.command()
@click.option("--seed", type=int, help="Replay the kills of that run. [default: by chance]")
@click.option("--units", type=click.IntRange(20), default=1800, show_default=True)
@click.option("--kills", type=click.IntRange(1), default=30, show_default=True)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep logs and what units wrote there, also where all held.",
)
def yarn(seed: int | None, units: int, kills: int, keep: Path | None) -> None:
    """Kill what makes up a YARN cluster while agents run in its containers.

    ResourceManager, NodeManager, ApplicationMaster, agents and leader are killed in an order by
    chance; then everything is checked from outside. The exit code is 0 only if all of it held.
    """

    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        from random import SystemRandom

        from rtb.chaos.yarn.campaign import run_on_yarn

        first = SystemRandom().randrange(10**6) if seed is None else seed
        click.echo(f"rtb chaos yarn --seed {first}")
        held = await run_on_yarn(
            reactor, units=units, kills=kills, seed=first, say=click.echo, directory=keep
        )
        return 0 if held else 1

    run(work)
