"""How a command ends."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

WORK = """
import sys
from rtb.cli.running import run
from twisted.internet import task

async def work(reactor):
    await task.deferLater(reactor, 0)  # signals are the reactor's from here on
    print("begun", flush=True)
    {what}

run(work)
"""


def start(what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WORK.format(what=what)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_interrupted_did_not_succeed(number: int) -> None:
    with start("await task.deferLater(reactor, 30)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        assert process.wait(120) == 130


@pytest.mark.parametrize(
    ("what", "code"), [("return 3", 3), ("return 0", 0), ("raise KeyError", 1)]
)
def test_the_code_is_that_of_the_work(what: str, code: int) -> None:
    with start(what) as process:
        assert process.wait(120) == code
