"""``script/server --yarn``: the main job on a private cluster, and nothing left of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rtb.sandbox.directory import free_port
from rtb.sandbox.proc import identity

# It has a cluster of its own, but two at a time are too much for a small machine.
pytestmark = [pytest.mark.yarn, pytest.mark.xdist_group("yarn")]
RTB = Path(sys.executable).with_name("rtb")


@pytest.fixture
def place(public_directory: Path) -> Iterator[Path]:
    # With a space, of which Hadoop itself makes two words.
    place = public_directory / "dev yarn"
    yield place
    shutil.rmtree(place, ignore_errors=True)


def summary(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


def left(place: Path) -> list[str]:
    """Return the processes that name *place* or work below it: servers, containers and all."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            here = str(place) in words or (entry / "cwd").readlink().is_relative_to(place)
            if here and identity(int(entry.name)):
                found.append(words)
    return found


@pytest.mark.usefixtures("java")
def test_agents_come_to_eight_and_go_and_the_end_leaves_nothing(place: Path) -> None:
    port = free_port()
    clean = {name: text for name, text in os.environ.items() if not name.startswith("RTB_")}
    settings = {"RTB_API_HOST": f"127.0.0.1:{port}", "RTB_AGENTS_QUIET": "5"}
    said = place.with_name("dev-yarn.log")
    with said.open("wb") as output:
        run = subprocess.Popen(
            [RTB, "dev", "--yarn", "--count", "100", "--data", place],
            stdout=output, stderr=output, env={**clean, **settings},
        )  # fmt: skip
    try:
        seen: list[int] = []
        settled, until = 0, time.monotonic() + 150
        while settled < 100 or seen[-1] > 0:
            assert time.monotonic() < until, said.read_text()
            assert run.poll() is None, said.read_text()
            shown = summary(port)
            if shown and shown["leaders"] and "launcher" in shown["leaders"][0]:
                settled = shown["units"]["success"] + shown["units"]["error"]
                seen.append(shown["leaders"][0]["launcher"]["running"])
            time.sleep(0.1)
        assert (seen[0], max(seen), seen[-1]) == (0, 8, 0)
        assert shown["units"]["total"] == settled == 100
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
    assert left(place) == []
    text = said.read_text()
    assert not re.search("Traceback|Unhandled", text + (place / "rtb.log").read_text()), text
