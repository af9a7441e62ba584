"""The command ``rtb`` and the list of what it can do."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["main"]

#: Where each command is. They are imported when they are asked for, to be quick.
_COMMANDS = {
    "agents": "rtb.cli.agents:agents",
    "chaos": "rtb.cli.chaos:chaos",
    "check": "rtb.cli.check:check",
    "completion": "rtb.cli.completion:completion",
    "config": "rtb.cli.config:config",
    "dev": "rtb.cli.dev:dev",
    "go": "rtb.cli.status:go",
    "healthcheck": "rtb.cli.check:healthcheck",
    "ledger": "rtb.cli.ledger:ledger",
    "migrate": "rtb.cli.migrate:migrate",
    "openapi": "rtb.cli.openapi:openapi",
    "orders": "rtb.cli.orders:orders",
    "prune": "rtb.cli.prune:prune",
    "status": "rtb.cli.status:status",
    "stop": "rtb.cli.status:stop",
    "tracker": "rtb.cli.status:tracker",
    "try": "rtb.cli.try_:try_",
    "units": "rtb.cli.units:units",
    "watch": "rtb.cli.watch:watch",
    "yarn": "rtb.cli.yarn:yarn",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rtb")
def main() -> None:
    """Red-Tailed Boa Broadcast: every unit of every order accounted for.

    The roles themselves run under twistd: twistd -n rtb-api, rtb-leader, rtb-agent, or rtb for
    all of them on one machine.
    """
