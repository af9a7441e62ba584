"""``rtb migrate``: bring the ledger to this version's schema."""

from __future__ import annotations

import os
from typing import Any

import click

from rtb.cli.running import run
from rtb.settings import Settings

__all__ = ["migrate"]


@click.command()
@click.option("--status", "how", flag_value="status", help="Only say what would be applied.")
@click.option("--sql", "how", flag_value="sql", help="Only show the SQL that would be applied.")
def migrate(how: str | None) -> None:
    """Bring the ledger's schema to this version, as the API does at its start.

    With --status the exit code is 1 if something would be applied.
    """

    async def work(reactor: Any) -> int:
        from rtb.ledger.migrations import migrate as apply_missing
        from rtb.ledger.migrations import missing

        settings = Settings.load({}, os.environ, role="api")
        if how is not None:
            files = await missing(reactor, settings.db)
            for name, text in files:
                click.echo(f"-- {name}\n{text}" if how == "sql" else f"to apply: {name}")
            if not files:
                click.echo("nothing to apply", err=how == "sql")
            return int(bool(files)) if how == "status" else 0
        applied = await apply_missing(reactor, settings.db)
        for name in applied:
            click.echo(f"applied {name}")
        if not applied:
            click.echo("nothing to apply")
        return 0

    run(work)
