"""``rtb config``: the settings, and where each comes from."""

from __future__ import annotations

import os

import click

from rtb.cli.running import EX_CONFIG
from rtb.errors import ConfigurationError
from rtb.settings import Settings, unknown

__all__ = ["config"]


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@click.option("--sources", is_flag=True, help="And where each comes from.")
def show(sources: bool) -> None:
    """Show each setting as it is in effect; secrets are masked."""
    try:
        rows = Settings.load({}, os.environ).shown()
    except ConfigurationError as problem:
        click.echo(f"rtb: {problem}", err=True)
        raise SystemExit(EX_CONFIG) from None
    width = max(len(name) for name, _, _ in rows)
    for name, value, source in rows:
        click.echo(f"{name:{width}}  {value}{f'  ({source})' if sources else ''}")
    for name, nearest in unknown(os.environ):
        click.echo(f"rtb: {name} is not known and not used (nearest: {nearest})", err=True)
