"""``rtb status`` and ``rtb tracker``: how it is, on one screen; ``go`` and ``stop``."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from rtb.cli.api import api_option
from rtb.cli.asking import ask, columns, output_option, show

__all__ = ["go", "status", "stop", "tracker"]

_SHOWN = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled", "total")


@click.command()
@api_option
@output_option
def status(api: str | None, output: str) -> None:
    """Show how everything is; exit code 69 where the API does not answer."""

    async def work(client: Any, _: Any) -> None:
        summary = msgspec.to_builtins(await client.status())
        show(output, summary, [summary], lambda: _screen(summary))

    ask(api, work)


def _screen(summary: Any) -> str:
    units = summary["units"]
    settled = units["success"] + units["error"] + units["cancelled"]
    share = f"{100 * settled // units['total']} %" if units["total"] else "nothing to do"
    state = "going" if summary["going"] else "stopped: rtb go starts it"
    counts = columns(_SHOWN, [[units[name] for name in _SHOWN]], left=0)
    return f"{state}, {share} done\n\n{counts}\n\n{_trackers(summary['leaders'])}"


def _trackers(leaders: list[Any]) -> str:
    if not leaders:
        return "no leader has reported yet: start twistd rtb-leader"
    head = ("box", "leader", "held", "N", "busy", "slots", "agents")
    rows = [
        (one["box"], one["state"], one["sent"] + one["queued"], one["capacity"], one["busy"],
         one["slots"], one["agents"])
        for one in leaders
    ]  # fmt: skip
    return columns(head, rows, left=2)


@click.command()
@api_option
@output_option
def tracker(api: str | None, output: str) -> None:
    """Show the job tracker of each box: what it holds of its N."""

    async def work(client: Any, _: Any) -> None:
        leaders = msgspec.to_builtins((await client.status()).leaders)
        show(output, leaders, leaders, lambda: _trackers(leaders))

    ask(api, work)


@click.command()
@api_option
def go(api: str | None) -> None:
    """Start the wheels: hand out units."""

    async def work(client: Any, _: Any) -> None:
        await client.go()
        click.echo("going")

    ask(api, work)


@click.command()
@api_option
def stop(api: str | None) -> None:
    """Hand out nothing more; what was handed out finishes."""

    async def work(client: Any, _: Any) -> None:
        await client.stop()
        click.echo("stopped")

    ask(api, work)
