"""A short ``rtb chaos yarn``; the whole of it takes five minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_RTB = [sys.executable, "-c", "from rtb.cli import main; main()"]


@pytest.mark.yarn
@pytest.mark.long
@pytest.mark.xdist_group("yarn")
@pytest.mark.usefixtures("java")
def test_a_short_run(public_directory: Path) -> None:
    """Each kind of kill once."""
    place = public_directory / "chaos-yarn"
    done = subprocess.run(
        [*_RTB, "chaos", "yarn", "--units", "300", "--kills", "6", "--keep", str(place)],
        capture_output=True,
        text=True,
        timeout=420,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "all invariants held" in said
