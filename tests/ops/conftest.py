from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Promtool = Callable[..., None]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Run promtool, which must find nothing to complain of."""
    own = Path(sys.executable).with_name("promtool")
    found = str(own) if own.exists() else shutil.which("promtool")
    if found is None and not os.environ.get("CI"):
        pytest.skip("there is no promtool: as root, script/bootstrap fetches it")

    def run(*arguments: str, cwd: Path | None = None, text: bytes = b"") -> None:
        done = subprocess.run(
            [found or "promtool", *arguments], cwd=cwd, input=text, capture_output=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()

    return run
