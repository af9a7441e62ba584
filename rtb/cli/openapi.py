"""``rtb openapi``: the description of the HTTP API for machines."""

from __future__ import annotations

import json

import click

__all__ = ["openapi"]


@click.command()
def openapi() -> None:
    """Write the description of the HTTP API (OpenAPI 3.1) to standard output."""
    from rtb.api.web.openapi import describe
    from rtb.api.web.routes import Resources
    from rtb.api.web.table import ROUTES

    click.echo(json.dumps(describe(ROUTES, Resources), indent=2))
