"""``rtb agents``: what can be asked of agents."""

from __future__ import annotations

from typing import Any

import click

from rtb.cli.api import api_option, base_url
from rtb.cli.asking import ask, clock, columns, output_option, show
from rtb.cli.running import run

__all__ = ["agents"]


@click.group()
def agents() -> None:
    """Look at agents, or ask something of one."""


@agents.command("list")
@api_option
@output_option
def list_(api: str | None, output: str) -> None:
    """Show the agents, as their leaders saw them last, and what starts and ends them."""

    async def work(client: Any, _: Any) -> None:
        rows = (await client.agents())["agents"]
        leaders = (await client.status()).leaders
        head = ("id", "name", "host", "box", "presence", "busy", "slots", "seen", "container")
        table = [
            [row["id"], row["name"], row["host"], row["box"], row["presence"], row["busy"],
             row["slots"], clock(row["seen_at"]), row["container"] or "-"]
            for row in rows
        ]  # fmt: skip
        launchers = [_launcher(one.box, one.launcher) for one in leaders if one.launcher]
        show(output, rows, rows, lambda: "\n".join([*launchers, columns(head, table, left=5)]))

    ask(api, work)


def _launcher(box: str, says: Any) -> str:
    counts = ", ".join(
        f"{says[name]} {name}" for name in ("wanted", "starting", "running", "leaving")
    )
    state = f"; service {says['state']}" if says["state"] else ""
    problem = f"\n  {says['problem']}" if says["problem"] else ""
    return f"box {box}, launcher {says['kind']}: {counts}{state}{problem}\n"


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
