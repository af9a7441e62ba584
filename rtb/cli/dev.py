"""``rtb dev``: the whole system on one machine, with servers of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rtb.cli.running import run

__all__ = ["dev"]


@click.command()
@click.option("--hold", is_flag=True, help="Do not press go: leave that to curl.")
@click.option("--exit", "leave", is_flag=True, help="End when the work is done, see below.")
@click.option("--reset", is_flag=True, help="Forget the data of the private servers first.")
@click.option("--yarn", is_flag=True, help="Let the agents run on a private YARN cluster.")
@click.option("--count", type=click.IntRange(0), help="Units of the first backlog: RTB_SEED_COUNT.")
@click.option("--slots", type=click.IntRange(1), help="Units at a time: RTB_AGENT_SLOTS.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the private servers keep their data. [default: a place outside of the "
    "present directory that belongs to it]",
)
def dev(
    hold: bool,
    leave: bool,
    reset: bool,
    yarn: bool,
    count: int | None,
    slots: int | None,
    data: Path | None,
) -> None:
    """Run the whole system on this machine, press go, and keep serving.

    PostgreSQL and RabbitMQ are private ones, started and ended with it, except where RTB_DB_HOST
    or RTB_BROKER_HOST (or RTB_DATABASE_URL, RTB_AMQP_URL) name servers to use. The API listens at
    the port of RTB_API_HOST, 8080 when that is not set. Data is kept for the next start.

    With --yarn the units run in containers: of a private cluster, ended with the rest, or of the
    one that RTB_YARN_RM names.

    With --exit the exit code is 0 when all units succeeded, 3 when some ended in error, and 1
    otherwise.
    """

    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        from rtb.cli.stage import Stage, Wishes

        flags = {"seed_count": count, "agent_slots": slots}
        wishes = Wishes(
            hold=hold,
            leave=leave,
            reset=reset,
            yarn=yarn,
            data=data,
            flags={name: str(value) for name, value in flags.items() if value is not None},
        )
        return await Stage(reactor, wishes).run()

    run(work)
