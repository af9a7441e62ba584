"""The package as people install it: from a wheel, and from a checkout they work on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [
    "install",
    "--quiet",
    "--no-deps",
    "--no-build-isolation",
    "--no-index",
    "--ignore-installed",
]
LOOK = (
    "import pathlib, rtb, sys; sys.argv = ['twistd', '--help']\n"
    "sys.stderr.write(str(pathlib.Path(rtb.__file__).parent))\n"
    "from twisted.scripts.twistd import run; run()"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged, so that nothing is built inside the real one."""
    copy = tmp_path_factory.mktemp("a checkout")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    for name in ("rtb", "twisted", "tests"):
        shutil.copytree(
            ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.cache")
        )
    return copy


def environment(directory: Path) -> Path:
    """Return the Python of a fresh environment that borrows the libraries of this one."""
    venv.create(directory, symlinks=True)
    site = next((directory / "lib").glob("python*/site-packages"))
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
    return directory / "bin" / "python"


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in argv],
        env={
            "PATH": os.defpath,
            "HOME": os.environ.get("HOME", "/"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def roles_and_place(python: Path) -> tuple[set[str], Path]:
    listed = run(python, "-c", LOOK)
    return {word for word in listed.stdout.split() if word.startswith("rtb")}, Path(listed.stderr)


@pytest.mark.parametrize("way", ["editable", "wheel"])
def test_the_roles_are_listed_from_anywhere(way: str, checkout: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "environment")
    what = ["-e", checkout] if way == "editable" else [wheel(checkout, tmp_path)]
    run(sys.executable, "-m", "pip", "--python", python, *PIP, *what)
    roles, place = roles_and_place(python)
    assert {"rtb", "rtb-api", "rtb-leader", "rtb-agent"} <= roles
    assert place.is_relative_to(checkout if way == "editable" else tmp_path)
    assert (python.parent / "rtb").exists()


def wheel(checkout: Path, directory: Path) -> Path:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*build, "--wheel-dir", directory, checkout)
    return next(directory.glob("*.whl"))


def test_a_wheel_holds_all_that_rtb_needs_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    packed = set(zipfile.ZipFile(wheel(checkout, tmp_path)).namelist())
    wanted = {
        str(path.relative_to(checkout))
        for path in [*(checkout / "rtb").rglob("*"), checkout / "twisted/plugins/rtb_roles.py"]
        if path.is_file() and path.parent.name != "__pycache__"
    }
    assert wanted <= packed
    extra = {name for name in packed - wanted if ".dist-info/" not in name}
    assert extra == set()
