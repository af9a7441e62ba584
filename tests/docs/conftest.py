"""The book, made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("book")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-q", "-b", "html",
         "-d", str(made / "trees"), str(DOCS), str(made / "html")],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (built.returncode, built.stderr) == (0, "")
    return made / "html"
