"""``rtb agents``: what can be asked of agents."""

from __future__ import annotations

from typing import Any

import click

from rtb.cli.api import api_option, base_url
from rtb.cli.running import run

__all__ = ["agents"]


@click.group()
def agents() -> None:
    """Ask something of an agent."""


@agents.command()
@click.argument("agent")
@api_option
def drain(agent: str, api: str | None) -> None:
    """Let AGENT take nothing new, finish what it runs, and end."""

    async def work(reactor: Any) -> int:
        from rtb.client import Client

        client = Client(base_url(api), reactor)
        try:
            await client.drain(agent)
        finally:
            await client.close()
        click.echo(f"{agent} drains")
        return 0

    run(work)
