"""Which Java runs the cluster, and whether Maven is there to get its jars."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from rtb.sandbox.errors import SandboxError

__all__ = ["JavaMissingError", "find_java", "find_maven"]

#: This Hadoop needs what Java 24 took away, and starts on nothing older than 8.
_OLDEST, _NEWEST = 8, 23
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_INSTALL = "as root: apt-get install openjdk-17-jre-headless maven"


class JavaMissingError(SandboxError):
    """Java or Maven is missing; the message says what to install."""


def find_java(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the home of a Java that can run Hadoop: JAVA_HOME's, PATH's, or an installed one.

    :raises JavaMissingError: there is none
    """
    seen = []
    for home in _homes(environ):
        version = _version(home)
        if version and _OLDEST <= version <= _NEWEST:
            return home
        if version:
            seen.append(f"{home} is Java {version}")
    found = f"; {', '.join(seen)}" if seen else ""
    raise JavaMissingError(f"no Java from {_OLDEST} to {_NEWEST} is here{found} ({_INSTALL})")


def find_maven(environ: Mapping[str, str] = os.environ) -> Path:
    """Return Maven's program.

    :raises JavaMissingError: there is none
    """
    path = shutil.which("mvn", path=environ.get("PATH"))
    if path is None:
        raise JavaMissingError(f"Maven is missing, which gets Hadoop's jars ({_INSTALL})")
    return Path(path)


def _homes(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("JAVA_HOME"):
        yield Path(environ["JAVA_HOME"])
    program = shutil.which("java", path=environ.get("PATH"))
    if program:
        yield Path(program).resolve().parents[1]
    yield from sorted(Path("/usr/lib/jvm").glob("*"))


def _version(home: Path) -> int:
    """Return the major version of the Java in *home*, 0 if there is none that runs."""
    try:
        answer = subprocess.run(
            [home / "bin" / "java", "-version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return 0
    match = _VERSION.search(answer.stderr)
    return int(match[1]) if match else 0
