"""``rtb yarn``: a real YARN cluster on this machine, for a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtb.cli.running import run

__all__ = ["yarn"]


@click.command()
@click.option("--nodes", type=click.IntRange(1, 8), default=2, show_default=True)
@click.option("--pair", is_flag=True, help="Two ResourceManagers, one of which stands by.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where its files are. [default: a place outside of the present directory]",
)
def yarn(nodes: int, pair: bool, data: Path | None) -> None:
    """Run Hadoop YARN on this machine until Ctrl-C: one or two ResourceManagers, and NodeManagers.

    It is Hadoop's own, on loopback ports that are new at each start. What is printed makes a
    leader use it. Its jars (80 MB) come through Maven once; RTB_YARN_CACHE says where they stay.
    """

    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        import os

        from twisted.internet.defer import CancelledError, Deferred

        from rtb.cli.interrupts import Interrupts
        from rtb.sandbox import default_directory
        from rtb.sandbox.yarn import YarnCluster

        place = data or default_directory(os.environ, Path.cwd(), root=os.getuid() == 0) / "yarn"
        cluster = YarnCluster(reactor, place.absolute(), nodes=nodes, pair=pair)
        interrupts = Interrupts(reactor)
        click.echo("starting Hadoop YARN ...", err=True)
        ended: Deferred[None] = Deferred()
        starting = cluster.start()
        interrupts.asked.addCallback(lambda _: starting.cancel()).chainDeferred(ended)
        interrupts.insisted.addCallback(lambda _: cluster.kill())
        try:
            await starting
        except CancelledError:
            return 130
        managers = ",".join(cluster.addresses)
        click.echo(f"export RTB_LAUNCHER=yarn RTB_YARN_RM={managers}")
        click.echo(f"It runs, with {nodes} nodes; its logs are in {place}.", err=True)
        click.echo(f"Look at it: http://{cluster.addresses[0]}/   Ctrl-C ends it.", err=True)
        await ended
        click.echo("\nending ... (once more: at once)", err=True)
        await cluster.stop()
        return 0

    run(work)
