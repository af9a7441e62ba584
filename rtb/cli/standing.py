"""Where an order stands among the others: ``rtb orders forecast`` and ``priority``."""

from __future__ import annotations

from typing import Any

import click

from rtb.cli.api import api_option
from rtb.cli.asking import ask, output_option, show

__all__ = ["forecast", "priority"]


@click.command()
@click.argument("order", type=click.IntRange(1))
@api_option
@output_option
def forecast(order: int, api: str | None, output: str) -> None:
    """Say when ORDER goes on and ends, and why it waits."""

    async def work(client: Any, _: Any) -> None:
        said = await client.forecast(order)
        show(output, said, [said], lambda: _expected(said))

    ask(api, work)


def _expected(said: Any) -> str:
    facts = [("code", f"{said['code']}: {said['why']}"), ("place", said["rank"])]
    facts += [("starts", said["starts_at"]), ("ends", said["ends_at"])]
    if said["ends_between"]:
        facts.append(("between", " and ".join(said["ends_between"])))
    return "\n".join(f"{name:<8} {value}" for name, value in facts if value is not None)


@click.command()
@click.argument("order", type=click.IntRange(1))
@click.argument("priority", type=int)
@click.option("--why", default="", help="What its history is to say.")
@api_option
def priority(order: int, priority: int, why: str, api: str | None) -> None:
    """Give ORDER another PRIORITY inside its account; higher goes first."""

    async def work(client: Any, _: Any) -> None:
        await client.change_order(order, "priority", why=why, priority=priority)
        click.echo(f"order {order}: priority {priority}")

    ask(api, work)
