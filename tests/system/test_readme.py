"""The README's commands do what it says when they are pasted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest_twisted
from line_support import Line
from twisted.internet.utils import getProcessOutputAndValue

ROOT = Path(__file__).parents[2]


@pytest_twisted.ensureDeferred
async def test_every_shell_block_of_the_readme(line: Line) -> None:
    line.start("rtb")
    await line.until_led()
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        script = block.replace("localhost:8080", f"localhost:{line.port}")
        out, err, code = await getProcessOutputAndValue(
            "/bin/bash", ["-euc", script.replace("curl ", "curl -sS --fail-with-body ")]
        )
        assert code == 0, (script, out, err)
        assert b'"id":1' in out
        assert b"scene-3" in out, "it is next in line"
    await line.end()
    line.check()
