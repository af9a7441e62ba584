"""``rtb chaos recovery`` and ``rtb chaos long``: one fault at a time, at default settings."""

from __future__ import annotations

from typing import Any

import click

from rtb.cli.running import SOME_FAILED, run

__all__ = ["long", "recovery"]

_ROWS = ("agent", "api", "standby", "leader", "postgres", "rabbit")


@click.command()
@click.option(
    "--kills", type=click.IntRange(1), default=10, show_default=True, help="Of each kind."
)
@click.option(
    "--only", type=click.Choice(_ROWS), multiple=True, help="This kind; may be said several times."
)
@click.option(
    "--calm", type=click.FloatRange(1), default=20.0, show_default=True, help="Seconds at first."
)
def recovery(kills: int, only: tuple[str, ...], calm: float) -> None:
    """Measure how soon work goes on after one kill in a calm system.

    Private servers and roles at default settings run a steady flow of short units; one thing is
    killed at a time. Prints a table; agents are killed twice as often as --kills says. Before,
    some seconds without faults, in which every unit must run exactly once. The exit code is 0 only
    if all is within its limit.
    """

    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        import time

        from rtb.chaos.ground import Ground, default_shape
        from rtb.chaos.recovery import ROWS, Measured, Recovery

        ground = Ground(reactor, default_shape(leaders=2, agents=2), click.echo)
        lines: list[Measured] = []
        try:
            await ground.start()
            measuring = Recovery(ground, kills, time.time)
            problems = await measuring.calm(calm)
            for row in ROWS:
                if not only or row.name in only:
                    lines += await measuring.row(row)
            ground.failed = bool(problems) or not all(line.held for line in lines)
        finally:
            await ground.stop()
        click.echo("| killed | times | p50 | p95 | most | limit for p95 | held |")
        click.echo("|---|---|---|---|---|---|---|")
        for line in lines:
            click.echo(line)
        for problem in problems:
            click.echo(problem)
        return SOME_FAILED if ground.failed else 0

    run(work)


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(10),
    default=600.0,
    show_default=True,
    help="That the unit takes.",
)
def long(seconds: float) -> None:
    """Let one long unit outlive its leader, the broker and the API.

    At default settings: its leader is killed and nobody leads its box for a fifth of the unit's
    time, then the broker is killed and started three times, and the API once. The unit must run
    once and have one outcome; the exit code is 0 only if it does.
    """

    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        from rtb.chaos.ground import Ground, default_shape
        from rtb.chaos.long import outlives

        ground = Ground(reactor, default_shape(leaders=1, agents=1), click.echo)
        try:
            await ground.start()
            problems = await outlives(ground, seconds)
            ground.failed = bool(problems)
        finally:
            await ground.stop()
        for problem in problems:
            click.echo(problem)
        click.echo("it did not hold" if problems else "it ran once and has one outcome")
        return SOME_FAILED if problems else 0

    run(work)
