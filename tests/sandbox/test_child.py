"""One server's process: its life, its end, and what a killed run leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from rtb.sandbox import ServerFailedError
from rtb.sandbox.accounts import Account, can_reach
from rtb.sandbox.child import Child
from rtb.sandbox.proc import identity

ENVIRONMENT = {"PATH": os.environ["PATH"]}
OURSELVES = Account("", os.getuid(), os.getgid(), foreign=False)


@pytest.fixture
def child(reactor: Any, tmp_path: Path) -> Child:
    return Child(reactor, "server", OURSELVES, tmp_path, signal.SIGTERM)


async def until_logged(reactor: Any, child: Child, text: str) -> None:
    while text not in child.log.read_text():
        await deferLater(reactor, 0.02)


@pytest_twisted.ensureDeferred
async def test_a_child_has_a_session_of_its_own_and_ends_when_asked(
    reactor: Any, child: Child, tmp_path: Path
) -> None:
    child.spawn(["sh", "-c", "echo up; exec sleep 60"], ENVIRONMENT, tmp_path)
    await until_logged(reactor, child, "up")
    pid = child.pid
    assert pid is not None
    assert os.getsid(pid) == pid

    await child.end(signal.SIGTERM, 5)

    assert child.pid is None
    assert identity(pid) is None
    assert not (tmp_path / "server.pid").exists()


@pytest_twisted.ensureDeferred
async def test_one_that_does_not_listen_is_killed_with_its_children(
    reactor: Any, child: Child, tmp_path: Path
) -> None:
    script = "trap '' TERM; sh -c 'echo $$; sleep 60; true' & wait; while :; do wait; done"
    child.spawn(["sh", "-c", script], ENVIRONMENT, tmp_path)
    await until_logged(reactor, child, "\n")
    grandchild = int(child.log.read_text())

    await child.end(signal.SIGTERM, 0.2)

    while identity(grandchild) is not None:
        await deferLater(reactor, 0.02)


@pytest_twisted.ensureDeferred
async def test_a_bad_end_shows_the_tail_of_the_log(child: Child, tmp_path: Path) -> None:
    with pytest.raises(ServerFailedError, match=r"(?s)server: .*exit code 3.*no such luck"):
        await child.run(["sh", "-c", "echo no such luck; exit 3"], ENVIRONMENT, tmp_path)


@pytest_twisted.ensureDeferred
async def test_ending_what_does_not_run_is_no_error(child: Child) -> None:
    await child.end(signal.SIGTERM, 1)
    child.signal(signal.SIGTERM)


@pytest_twisted.ensureDeferred
async def test_the_log_of_the_last_life_is_kept(child: Child, tmp_path: Path) -> None:
    for word in ("first", "second"):
        await child.run(["echo", word], ENVIRONMENT, tmp_path)
    assert child.log.read_text() == "second\n"
    assert child.log.with_suffix(".log.old").read_text() == "first\n"


RUN_AND_DIE = """
    import os, signal, sys
    from pathlib import Path
    from twisted.internet import reactor
    from rtb.sandbox.accounts import Account
    from rtb.sandbox.child import Child

    account = Account("", os.getuid(), os.getgid(), foreign=False)
    child = Child(reactor, "server", account, Path(sys.argv[1]), signal.SIGTERM)
    child.spawn(["sh", "-c", sys.argv[2]], dict(os.environ), Path(sys.argv[1]))

    def look():
        if "up" in child.log.read_text():
            os.kill(os.getpid(), signal.SIGKILL)
        reactor.callLater(0.02, look)

    reactor.callWhenRunning(look)
    reactor.run()
"""


def run_and_die(directory: Path, script: str) -> str:
    """Run a process that spawns *script* and is then killed; return the child's record."""
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN_AND_DIE), str(directory), script],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    return (directory / "server.pid").read_text()


@pytest_twisted.ensureDeferred
async def test_a_child_ends_when_its_parent_is_killed(reactor: Any, tmp_path: Path) -> None:
    record = run_and_die(tmp_path, "echo up; exec sleep 60")
    while identity(int(record.split()[0])) == record:
        await deferLater(reactor, 0.02)


@pytest_twisted.ensureDeferred
async def test_one_that_stays_all_the_same_is_ended_by_the_next_run(
    child: Child, tmp_path: Path
) -> None:
    record = run_and_die(tmp_path, "trap '' TERM; echo up; while :; do sleep 1; done")
    assert identity(int(record.split()[0])) == record

    await child.end_leftover(patience=0.2)

    assert identity(int(record.split()[0])) is None
    assert not (tmp_path / "server.pid").exists()


@pytest_twisted.ensureDeferred
async def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(
    child: Child, tmp_path: Path
) -> None:
    (tmp_path / "server.pid").write_text(f"{os.getpid()} 1")
    await child.end_leftover()
    assert not (tmp_path / "server.pid").exists()


def test_a_closed_directory_cannot_be_passed_by_another_user(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "program").touch(mode=0o755)
    nobody = Account("nobody", 65534, 65534, foreign=True)

    assert not can_reach(nobody, closed / "program")
    assert can_reach(nobody, Path("/usr/bin/env"))
    assert can_reach(OURSELVES, closed / "program")
