"""The scripts of this checkout, where everything is set up already."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
BOOTSTRAPPED = CHECKOUT / ".venv" / "rtb-bootstrap"


@pytest.mark.skipif(not BOOTSTRAPPED.exists(), reason="only where script/bootstrap was run")
def test_bootstrap_is_quiet_and_quick_when_all_is_there() -> None:
    command = [CHECKOUT / "script" / "bootstrap"]
    # What it needs may have been changed since it ran last.
    subprocess.run(command, check=True, cwd="/")
    took = []
    for _ in range(3):
        began = time.monotonic()
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        took.append(time.monotonic() - began)
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert min(took) < 1, took


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Path:
    """A checkout with a space in its path and nothing set up, and no command that installs."""
    checkout = tmp_path / "a checkout"
    shutil.copytree(CHECKOUT / "script", checkout / "script")
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(CHECKOUT / name, checkout)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cat", "cksum", "dirname", "flock", "head", "id", "mktemp", "rm", "sh", "tail"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    return checkout


def bootstrap(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "script" / "bootstrap"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PATH": os.fspath(checkout.parent / "bin")},
    )


def python(checkout: Path, body: str) -> None:
    """Put a ``python3`` in the way that is one of a machine where something is missing."""
    path = checkout.parent / "bin" / "python3"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_a_machine_without_python_is_told_what_to_install(bare_checkout: Path) -> None:
    failed = bootstrap(bare_checkout)
    assert failed.returncode == 1
    assert failed.stderr == (
        "bootstrap: needs Python 3.11 or newer: install it and run this again\n"
    )


def test_an_old_python_is_no_python(bare_checkout: Path) -> None:
    python(bare_checkout, "exit 1")
    assert "needs Python 3.11 or newer" in bootstrap(bare_checkout).stderr


def test_a_machine_without_venv_is_told_what_to_install(bare_checkout: Path) -> None:
    python(
        bare_checkout,
        'case "$2" in *version_info*print*|*print*) echo python3.11-venv;; *ensurepip*) exit 1;; '
        "esac",
    )
    failed = bootstrap(bare_checkout)
    assert failed.returncode == 1
    assert "install python3.11-venv (as root: apt-get install python3.11-venv)" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_what_fails_is_shown_and_leaves_no_trace(bare_checkout: Path) -> None:
    python(bare_checkout, 'if [ "$1" = -m ]; then echo no space left; exit 7; fi')
    failed = bootstrap(bare_checkout)
    assert failed.returncode == 7
    assert "no space left\nbootstrap: this failed: " in failed.stderr
    assert not (bare_checkout / ".venv").exists()


@pytest.mark.parametrize("script", ["bootstrap", "docs", "server", "test"])
def test_each_is_a_program_of_the_plainest_shell(script: str) -> None:
    path = CHECKOUT / "script" / script
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", path], check=True)


def test_continuous_integration_calls_the_tests(tmp_path: Path) -> None:
    checkout = tmp_path / "a checkout"
    (checkout / "script").mkdir(parents=True)
    shutil.copytree(CHECKOUT / ".ci", checkout / ".ci")
    (checkout / "script" / "test").write_text('#!/bin/sh\necho "tests $*"\nexit 5\n')
    (checkout / "script" / "test").chmod(0o755)
    run = subprocess.run(
        [checkout / ".ci" / "run", "-x"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert (run.returncode, run.stdout) == (5, "tests -x\n")
