"""``rtb migrate``: bring the ledger to this version's schema."""

from __future__ import annotations

import os
from typing import Any

import click

from rtb.cli.running import run
from rtb.settings import Settings

__all__ = ["migrate"]


@click.command()
def migrate() -> None:
    """Bring the ledger's schema to this version, as the API does at its start."""

    async def work(reactor: Any) -> int:
        from rtb.ledger.migrations import migrate as apply_missing

        settings = Settings.load({}, os.environ, role="api")
        applied = await apply_missing(reactor, settings.db)
        for name in applied:
            click.echo(f"applied {name}")
        if not applied:
            click.echo("nothing to apply")
        return 0

    run(work)
