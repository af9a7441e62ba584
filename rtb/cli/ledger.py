"""``rtb ledger``: what has to be done to the ledger by hand."""

from __future__ import annotations

import os
from typing import Any

import click

from rtb.cli.running import run
from rtb.settings import Settings

__all__ = ["ledger"]


@click.group()
def ledger() -> None:
    """Look after the ledger itself."""


@ledger.command()
@click.option("--yes", is_flag=True, help="Do it without asking.")
def renew(yes: bool) -> None:
    """Begin anew after PostgreSQL was restored to an earlier state.

    Between the backup and the restore units went on: queues, leaders and agents still speak of
    attempts that the restored ledger does not know, or knows otherwise. This gives the ledger a
    new id, so that all of them drop what they hold; closes the attempts that were open in the
    backup, so that their units wait again; and lets attempts, orders and units to come have numbers
    that were not used before. What had settled in the backup stays settled; what settled only
    afterwards runs again.

    Says first what it will do. APIs, leaders and agents may run meanwhile. Doing it again does no
    harm but to what runs: it is run anew. Needs RTB_DB_HOST or RTB_DATABASE_URL, as the API does.
    """

    async def work(reactor: Any) -> int:
        from rtb.ledger.migrations import migrate
        from rtb.ledger.renewal import before_renewal
        from rtb.ledger.renewal import renew as make_new

        settings = Settings.load({}, os.environ, role="api")
        for name in await migrate(reactor, settings.db):
            click.echo(f"applied {name}")
        found = await before_renewal(reactor, settings.db)
        click.echo(
            f"ledger {found.ledger} at {settings.db.where}: {found.settled} units have settled and "
            f"stay so, {found.waiting} wait, and {found.flights} are in flight and will wait again"
        )
        if not found.noticed:
            click.echo("no API has noticed that it was restored")
        if not yes and not click.confirm("Give it a new id?"):
            return 1
        click.echo(f"it is ledger {await make_new(reactor, settings.db)} now")
        return 0

    run(work)
