"""The fenced blocks of the docs, as programs."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import attrs

__all__ = ["RUNNABLE", "Block", "read", "script"]

#: Languages that are run; json, yaml, ini and text are looked at.
RUNNABLE = frozenset({"sh", "bash", "shell", "console", "python"})
_FENCE = re.compile(
    r"(?:^(?P<mark> *<!-- (?P<kind>not run|file): (?P<reason>[^>\n]+) -->)\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"^\$ (.*(?:\\\n.*|\n(?:    |> ).*)*)\n((?:[^$\n].*\n|\n)*)", re.MULTILINE)


@attrs.frozen
class Block:
    """One block of a page."""

    line: int
    language: str
    text: str
    #: "file" (a test compares it with that file), "not run", or nothing.
    kind: str
    reason: str

    @property
    def runs(self) -> bool:
        return self.language in RUNNABLE and not self.kind


def read(page: Path) -> list[Block]:
    """Return the blocks of *page* that say what they are written in."""
    text = page.read_text()
    return [
        Block(
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            textwrap.dedent(found["text"]),
            found["kind"] or "",
            found["reason"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


def script(blocks: list[Block], directory: Path) -> tuple[str, dict[Path, str]]:
    """Return a program for bash that runs *blocks* one after the other, and what it should show.

    Variables live from block to block, as in the terminal of whoever reads the page. What a
    command of a ``console`` block prints goes into a file: that and what the page shows are
    returned.
    """
    lines = ["set -eu -o pipefail"]
    shown: dict[Path, str] = {}
    for block in blocks:
        lines.append(f"echo '== the block at line {block.line}' >&2")
        if block.language == "console":
            for command, output in _COMMAND.findall(block.text):
                out = directory / f"out-{len(shown)}"
                shown[out] = output
                # Each begins where the first one began.
                lines.append(f"( {command}\n) > {shlex.quote(str(out))}")
        elif block.language == "python":
            program = directory / f"line-{block.line}.py"
            program.write_text(block.text)
            lines.append(f"python {shlex.quote(str(program))}")
        else:
            lines.append(block.text)
    return "\n".join(lines) + "\n", shown
