"""``rtb chaos recovery`` and ``rtb chaos long``, as short as they can be."""

from __future__ import annotations

import subprocess
import sys

import pytest

_RTB = [sys.executable, "-c", "from rtb.cli import main; main()"]


def _chaos(*words: str) -> str:
    done = subprocess.run(
        [*_RTB, "chaos", *words], capture_output=True, text=True, timeout=400, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


@pytest.mark.long
def test_a_long_unit_outlives_everything() -> None:
    assert "it ran once and has one outcome" in _chaos("long", "--seconds", "60")


@pytest.mark.long
def test_work_goes_on_after_each_kill() -> None:
    said = _chaos("recovery", "--kills", "1", "--calm", "5")
    assert "1.00 per unit" in said
    assert said.count("| yes |") == 7
