"""The tier that every change has to pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_RTB = [sys.executable, "-c", "from rtb.cli import main; main()"]


@pytest.mark.long
def test_push(public_directory: Path) -> None:
    """As a process of its own: it starts its own servers, and its faults are nobody else's."""
    done = subprocess.run(
        [*_RTB, "chaos", "push", "--keep", str(public_directory / "chaos")],
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "all invariants held" in said
    assert re.search(r"rtb chaos push --seed \d+", said), "a run can be replayed"
