"""Verbs for orders and units: what they concern is counted first, and somebody says yes."""

from __future__ import annotations

from typing import Any

import click

from rtb.cli.api import api_option
from rtb.cli.asking import ask

__all__ = ["of_order", "of_unit"]

_SAYS = {
    "cancel": "Cancel {what}: {units} that have not come to their end, also those that run.",
    "hold": "Keep back {what}: {units} that wait. What was handed out finishes.",
    "release": "Let {what} go on: {units} that wait.",
    "retry": "Try {what} again: {units} that came to an error.",
}
_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_why = click.option("--why", default="", help="Kept with what happens to the units.")


def _agreed(verb: str, what: str, units: int, yes: bool) -> bool:
    text = _SAYS[verb].format(what=what, units=f"{units} unit{'' if units == 1 else 's'}")
    try:
        return yes or click.confirm(text, err=True)
    except click.Abort:  # Ctrl-C, or nobody who could answer
        click.echo(err=True)
        return False


def of_order(verb: str) -> click.Command:
    """Return the command that does *verb* to an order."""

    def command(order: int, prefix: str | None, why: str, yes: bool, api: str | None) -> None:
        async def work(client: Any, _: Any) -> int:
            some = {"prefix": prefix} if prefix else {}
            if verb in ("hold", "release") and not prefix:
                units = (await client.order(order))["units"]["waiting"]
            else:
                units = (await client.change_units(order, verb, **some))["units"]
            if not _agreed(verb, f"order {order}", units, yes):
                return 1
            if verb == "retry" or prefix:
                await client.change_units(order, verb, why=why, expect_count=units, **some)
            else:
                await client.change_order(order, verb, why=why)
            click.echo(f"order {order}: {verb}, {units} units")
            return 0

        ask(api, work)

    command.__doc__ = {
        "cancel": "Cancel ORDER: what waits, and what runs.",
        "hold": "Keep ORDER back; what was handed out finishes.",
        "release": "Let a held ORDER go on.",
        "retry": "Try the units of ORDER again that came to an error.",
    }[verb]
    for decorate in (
        api_option,
        _yes,
        _why,
        click.option("--prefix", help="Only units whose name begins so."),
        click.argument("order", type=click.IntRange(1)),
    ):
        command = decorate(command)
    return click.command(verb)(command)


def of_unit(verb: str) -> click.Command:
    """Return the command that does *verb* to a unit."""

    def command(unit: int, why: str, yes: bool, api: str | None) -> None:
        async def work(client: Any, _: Any) -> int:
            found = await client.unit(unit)
            order = found["order"]
            # A single unit may be tried again whatever became of it.
            which = {"unit": unit} | ({"status": [found["status"]]} if verb == "retry" else {})
            units = (await client.change_units(order, verb, **which))["units"]
            if not units:
                click.echo(f"rtb: unit {unit} is {found['status']}: no {verb}", err=True)
                return 1
            if not _agreed(verb, f"unit {found['name']}", units, yes):
                return 1
            await client.change_units(order, verb, why=why, expect_count=1, **which)
            click.echo(f"unit {unit}: {verb}")
            return 0

        ask(api, work)

    command.__doc__ = f"{verb.capitalize()} one unit."
    for decorate in (api_option, _yes, _why, click.argument("unit", type=click.IntRange(1))):
        command = decorate(command)
    return click.command(verb)(command)
