"""``rtb completion``: what a shell needs to complete the command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Write the completion script of SHELL; in bash: eval "$(rtb completion bash)"."""
    # Here because main lists this module.
    from rtb.cli.main import main

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "rtb", "_RTB_COMPLETE").source())
