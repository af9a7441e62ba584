"""The command line, from its commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click
from markdown_text import table

from rtb.cli import main

__all__ = ["commands", "markdown"]


def commands() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Return each command with the words that call it."""
    yield from _walk("rtb", main, None)


def markdown() -> str:
    """Return a section for each command."""
    return "\n\n".join(_section(name, *rest) for name, *rest in commands())


def _walk(
    name: str, command: click.Command, above: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    word = name.rpartition(" ")[2]
    context = click.Context(command, parent=above, info_name=word)
    yield name, command, context
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from _walk(f"{name} {sub}", found, context)


def _section(name: str, command: click.Command, context: click.Context) -> str:
    depth = min(name.count(" ") + 2, 4)
    pieces = [f"{'#' * depth} `{name}`", _text(command.help)]
    pieces.append(f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```")
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            rows.append([f"`{record[0]}`", _text(record[1])])
    if rows:
        pieces.append(table(["option", ""], rows))
    return "\n\n".join(pieces)


def _text(text: str | None) -> str:
    # \b keeps a paragraph as it is written; < and * are text here.
    plain = inspect.cleandoc((text or "").replace("\b", ""))
    return plain.replace("<", "&lt;").replace("*", "\\*")
