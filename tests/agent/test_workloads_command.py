from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from rtb.agent.output import OUTPUT_BYTES
from rtb.agent.workloads import Failed, Stopped, Succeeded


def sh(script: str) -> str:
    return f"command:sh -c {shlex.quote(script)}"


class Lines:
    """What a unit prints, line by line."""

    def __init__(self) -> None:
        self.text = b""
        self._first: Deferred[str] = Deferred()

    def __call__(self, data: bytes) -> None:
        self.text += data
        if b"\n" in self.text and not self._first.called:
            self._first.callback(self.text.partition(b"\n")[0].decode())

    def first(self) -> Deferred[str]:
        return self._first


@pytest_twisted.ensureDeferred
async def test_what_a_command_gets(workload: Any, unit: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("RTB_AMQP_URL", "amqp://user:canary@rabbit")
    monkeypatch.setenv("SOME_SECRET", "canary")
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    code = "import json,os,sys;print(json.dumps([json.load(sys.stdin),dict(os.environ)]))"
    command = workload(f"command:{shlex.quote(sys.executable)} -c {shlex.quote(code)}")
    outcome = await command.start(unit({"é": [1, "x" * 60_000]}, limit=60)).done
    document, environment = json.loads(outcome.result.replace(b"x" * 60_000, b"x"))
    assert document == {
        "id": 17,
        "name": "seventeen",
        "order": 3,
        "attempt": 2,
        "payload": {"é": [1, "x"]},
    }
    rtb = {name: value for name, value in environment.items() if name.startswith("RTB_")}
    assert rtb == {"RTB_UNIT": "17", "RTB_ATTEMPT": "2", "RTB_ORDER": "3"}
    assert environment["TZ"] == "Pacific/Auckland"
    assert environment["PATH"] == os.environ["PATH"]
    assert "canary" not in str(environment)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("true", Succeeded(b"null")),
        ("echo no; echo '{\"a\": 1}'; echo x >&2", Succeeded(b'{"a":1}')),
        ("printf '/a path'", Succeeded(b'"/a path"')),
        ("echo no; exit 65", Failed("exit code 65", "no\n", permanent=True)),
        ("echo no; exit 1", Failed("exit code 1", "no\n", permanent=False)),
        ("kill -SEGV $$", Failed("killed by SIGSEGV", "", permanent=False)),
        ("kill -40 $$", Failed("killed by signal 40", "", permanent=False)),
        (r"printf '\033[1ma\000b\377\n'; exit 2", Failed("exit code 2", "ab\ufffd\n", False)),
        (
            """echo '{"a": NaN}'""",
            Failed("the result is no JSON value: JSON has no NaN", '{"a": NaN}\n', permanent=True),
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_a_command_says(workload: Any, unit: Any, script: str, outcome: Any) -> None:
    assert await workload(sh(script)).start(unit()).done == outcome


@pytest_twisted.ensureDeferred
async def test_no_shell(workload: Any, unit: Any) -> None:
    command = workload("""command:echo '$HOME;' "a b" *""")
    assert await command.start(unit()).done == Succeeded(b'"$HOME; a b *"')


@pytest_twisted.ensureDeferred
async def test_a_result_that_is_too_long(workload: Any, unit: Any) -> None:
    outcome = await workload(sh("yes | tr -d '\\n' | head -c 9999999")).start(unit()).done
    assert outcome.permanent
    assert "last line is longer than 65536 bytes" in outcome.why


@pytest_twisted.ensureDeferred
async def test_output_costs_no_memory(workload: Any, unit: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    script = "yes '123456789' | head -c 50000000; exit 1"
    outcome = await workload(sh(script)).start(unit()).done
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5_000
    assert outcome.output.startswith("[… 49983616 bytes cut …]\n")
    assert len(outcome.output.partition("\n")[2]) == OUTPUT_BYTES


@pytest_twisted.ensureDeferred
async def test_input_that_nobody_reads(workload: Any, unit: Any) -> None:
    command = workload("command:true")
    assert await command.start(unit("x" * 65_000)).done == Succeeded(b"null")


@pytest_twisted.ensureDeferred
async def test_the_limit_asks_first(workload: Any, unit: Any) -> None:
    script = "trap 'echo cleaned up; exit 0' TERM; sleep 60 & wait"
    began = time.monotonic()
    outcome = await workload(sh(script)).start(unit(limit=0.3)).done
    assert outcome == Failed("timed out after 0.3 s", "cleaned up\n", permanent=False)
    assert time.monotonic() - began < 2


@pytest_twisted.ensureDeferred
async def test_the_limit_ends_who_does_not_listen(workload: Any, unit: Any, ended: Any) -> None:
    printed = Lines()
    command = workload(sh("trap '' TERM; echo $$; sleep 60; sleep 60"), printed=printed)
    began = time.monotonic()
    running = command.start(unit(limit=0.2))
    pid = int(await printed.first())
    outcome = await running.done
    assert outcome.why == "timed out after 0.2 s"
    assert 2 < time.monotonic() - began < 4
    assert ended(pid)


@pytest_twisted.ensureDeferred
async def test_stop_ends_the_group(workload: Any, unit: Any, ended: Any) -> None:
    printed = Lines()
    command = workload(sh("trap '' TERM; sleep 61 & echo $$ $!; wait"), printed=printed)
    running = command.start(unit(limit=60))
    pids = [int(word) for word in (await printed.first()).split()]
    assert os.getsid(pids[0]) == pids[0] == os.getpgid(pids[1])
    running.stop()
    assert await running.done == Stopped()
    assert all(ended(pid) for pid in pids)
    running.stop()


@pytest_twisted.ensureDeferred
async def test_stop_before_it_has_begun(workload: Any, unit: Any) -> None:
    command = workload("command:sleep 60")
    runs = [command.start(unit()) for _ in range(20)]
    for running in runs:
        running.stop()
    assert [await running.done for running in runs] == [Stopped()] * 20


@pytest_twisted.ensureDeferred
async def test_stop_with_grace(workload: Any, unit: Any) -> None:
    printed = Lines()
    command = workload(
        sh("trap 'echo bye; exit 0' TERM; echo hi; sleep 60 & wait"), printed=printed
    )
    running = command.start(unit())
    await printed.first()
    running.stop(5)
    assert await running.done == Stopped()
    assert printed.text == b"hi\nbye\n"


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_running(workload: Any, unit: Any, ended: Any) -> None:
    outcome = await workload(sh("sleep 60 & echo $!")).start(unit()).done
    assert ended(int(outcome.result))


@pytest_twisted.ensureDeferred
async def test_who_leaves_the_group_holds_nobody(
    workload: Any, unit: Any, ended: Any, tmp_path: Path
) -> None:
    gone = shlex.quote(str(tmp_path / "gone"))
    leaves = f"setsid -f sh -c 'echo $$; echo > \"$0\"; exec sleep 61' {gone}"
    script = f"{leaves}; while [ ! -e {gone} ]; do sleep 0.01; done"
    began = time.monotonic()
    outcome = await workload(sh(script)).start(unit()).done
    assert time.monotonic() - began < 10
    pid = int(outcome.result)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid)


@pytest_twisted.ensureDeferred
async def test_a_machine_that_cannot_start_it(workload: Any, unit: Any) -> None:
    command = workload("command:true")
    command.launch.words[:] = ["/no/such/program"]
    outcome = await command.start(unit()).done
    assert "cannot start" in outcome.why
    assert not outcome.permanent


@pytest_twisted.ensureDeferred
async def test_close_ends_what_runs(workload: Any, unit: Any) -> None:
    command = workload("command:sleep 60")
    running = command.start(unit())
    await command.close()
    assert running.done.result == Stopped()


AGENT = """
import random, sys
from twisted.internet import reactor
from rtb.agent.workloads import make_workload
from rtb.model import wire
import msgspec
w = make_workload(reactor, sys.argv[1], slots=1, random=random.Random(),
                  printed=lambda data: (sys.stdout.buffer.write(data), sys.stdout.flush()))
unit = wire.Unit(1, 1, "a", 1.0, 0, "w", None, 1, "n", msgspec.Raw(b"{}"))
reactor.callWhenRunning(w.start, unit)
reactor.run()
"""


@pytest.mark.parametrize(
    "spec",
    [sh("sleep 62 & echo $$ $!; sleep 62"), "python:functions:works"],
    ids=["command", "python"],
)
def test_a_killed_agent_leaves_nothing_running(spec: str, ended: Any) -> None:
    path = os.pathsep.join([os.getcwd(), os.path.dirname(__file__)])
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, spec],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert agent.stdout is not None
    pids = [int(word) for word in agent.stdout.readline().split()]
    children = subprocess.run(
        ["pgrep", "-P", str(agent.pid)], capture_output=True, check=True, text=True
    ).stdout.split()
    agent.kill()
    agent.wait()
    agent.stdout.close()
    assert pids
    assert all(ended(pid) for pid in [*pids, *map(int, children)])


@pytest_twisted.ensureDeferred
async def test_a_keeper_that_was_killed_is_replaced(workload: Any, unit: Any, ended: Any) -> None:
    command = workload(sh("echo $PPID"))
    await command.start(unit()).done
    keeper = command.launch.keeper
    first = keeper._process.pid
    os.kill(first, signal.SIGKILL)
    assert ended(first)
    assert await command.start(unit()).done == Succeeded(str(os.getpid()).encode())
    assert await command.start(unit()).done == Succeeded(str(os.getpid()).encode())
    assert keeper._process.pid != first
