"""``rtb dev``, run as people run it: one command, real servers, signals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from rtb.sandbox.directory import free_port
from rtb.sandbox.proc import identity

RTB = Path(sys.executable).with_name("rtb")
QUICK = {"RTB_WORKLOADS": "default=coinflip:error=0,seconds=0;coinflip=coinflip:error=0,seconds=0"}


@define
class Dev:
    """Runs of ``rtb dev`` from one directory, all of which end with the test."""

    data: Path
    port: int = field(factory=free_port)
    runs: list[subprocess.Popen[str]] = field(factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RTB_")}
        run = subprocess.Popen(
            [RTB, "dev", "--data", self.data, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **QUICK, "RTB_API_HOST": f"127.0.0.1:{self.port}", **environ},
        )
        self.runs.append(run)
        return run

    def ask(self, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def traces(self) -> list[str]:
        """Return what shows that a run was here: processes and listening ports."""
        left = [path.name for path in self.data.glob("*.pid")]
        memory = json.loads((self.data / "sandbox.json").read_text())
        for port in (self.port, *memory["ports"].values()):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    left.append(f"port {port}")
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.data) in words and identity(int(command.parent.name)):
                left.append(words)
        return left


@pytest.fixture
def dev(public_directory: Path, request: pytest.FixtureRequest) -> Iterator[Dev]:
    dev = Dev(public_directory / f"dev {request.node.name}")
    yield dev
    for run in dev.runs:
        if run.poll() is None:
            run.kill()
        run.communicate()
    shutil.rmtree(dev.data, ignore_errors=True)


def until(run: subprocess.Popen[str], text: str, seconds: float = 120.0) -> str:
    """Return what *run* said up to the line with *text*."""
    too_late = threading.Timer(seconds, run.kill)
    too_late.start()
    said = ""
    assert run.stderr is not None
    for line in run.stderr:
        said += line
        if text in line:
            too_late.cancel()
            return said
    pytest.fail(f"it ended without {text!r}:\n{said}")


def ended(run: subprocess.Popen[str], seconds: float = 120.0) -> tuple[int, str]:
    """Return exit code and what *run* said since; it may take *seconds*."""
    _, said = run.communicate(timeout=seconds)
    return run.returncode, said


def test_all_units_end_the_data_stays_and_is_forgotten_when_asked(dev: Dev) -> None:
    """And units that end in error show in the exit code."""
    code, said = ended(dev.start("--exit", "--count", "30"))
    assert code == 0, said
    assert "30/30 done  success 30" in said
    assert "Traceback" not in said + (dev.data / "rtb.log").read_text()
    assert dev.traces() == []

    code, said = ended(dev.start("--exit"))
    assert code == 0, said
    assert "30/30 done  success 30" in said

    workloads = "coinflip=coinflip:error=1,seconds=0;default=noop"
    again = dev.start("--exit", "--reset", "--count", "7", RTB_WORKLOADS=workloads)
    code, said = ended(again)
    assert code == 3, said
    assert "7/7 done  error 7" in said
    assert dev.traces() == []


def test_held_until_somebody_presses_go_then_serving_until_told_to_end(dev: Dev) -> None:
    run = dev.start("--hold", "--count", "5")
    until(run, f"waiting for: curl {dev.url}/go/")
    assert dev.ask("/")["units"]["waiting"] == 5

    dev.ask("/go/")
    until(run, "5/5 done")
    steps = until(run, "Serving")
    commands = re.findall(r"^  (curl .*)$", steps, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        pasted = subprocess.run(
            command, shell=True, capture_output=True, text=True, check=True, timeout=60
        )
        assert "title" not in json.loads(pasted.stdout), pasted.stdout
    until_done(dev, 7)

    run.send_signal(signal.SIGTERM)
    code, said = ended(run, 20)
    assert code == 0, said
    assert dev.traces() == []
    assert "Traceback" not in (dev.data / "rtb.log").read_text()


def until_done(dev: Dev, count: int) -> None:
    while dev.ask("/")["units"]["success"] < count:
        time.sleep(0.1)


def test_a_second_one_is_told_in_one_line_and_a_servers_death_with_its_log(dev: Dev) -> None:
    first = dev.start("--hold", "--count", "0")
    until(first, "log ")

    code, said = ended(dev.start())
    assert (code, said.splitlines()) == (1, [f"rtb: another rtb already runs from {dev.data}"])

    other = Dev(dev.data.with_name("other"), port=dev.port, runs=dev.runs)
    code, said = ended(other.start())
    assert code == 78
    assert len(said.splitlines()) == 1
    assert f"set RTB_API_HOST, for example RTB_API_HOST=127.0.0.1:{dev.port + 1}" in said
    shutil.rmtree(other.data)

    os.kill(int((dev.data / "rabbit.pid").read_text().split()[0]), signal.SIGKILL)
    code, said = ended(first, 20)
    assert code == 1
    assert "rtb: rabbit: " in said
    assert "signal 9" in said
    assert dev.traces() == []


def test_an_interrupt_while_it_starts_leaves_nothing(dev: Dev) -> None:
    run = dev.start()
    until(run, "starting")
    while not (dev.data / "rabbit.pid").exists():
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    assert ended(run, 20)[0] == 0
    assert dev.traces() == []


def test_a_second_interrupt_does_not_wait_for_running_units(dev: Dev) -> None:
    environ = {"RTB_WORKLOADS": "coinflip=coinflip:seconds=600", "RTB_DRAIN_TIMEOUT": "0"}
    run = dev.start("--count", "1", **environ)
    until(run, "processing 1")
    run.send_signal(signal.SIGINT)
    until(run, "ending")
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(1)
    run.send_signal(signal.SIGINT)
    assert ended(run, 8)[0] == 0
    assert dev.traces() == []


def test_its_own_death_takes_the_servers_along_and_the_next_start_works(dev: Dev) -> None:
    run = dev.start("--count", "5")
    until(run, "Serving")
    run.kill()
    run.wait()

    code, said = ended(dev.start("--exit"))
    assert code == 0, said
    assert "5/5 done  success 5" in said
    assert dev.traces() == []


def test_reset_is_refused_where_no_private_server_is_used(dev: Dev) -> None:
    given = {"RTB_DB_HOST": "127.0.0.1:1", "RTB_BROKER_HOST": "127.0.0.1:1"}
    code, said = ended(dev.start("--reset", **given))
    assert code == 78
    assert said.startswith("rtb: --reset forgets private servers only")
