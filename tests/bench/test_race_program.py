"""The programs that the benches start, and what they use."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from race.meter import Meter
from race.program import Program, ProgramEndedError
from twisted.internet.task import deferLater

ANSWERS = """
import json, sys, time
print("ready", flush=True)
for line in sys.stdin:
    began = time.process_time()
    while time.process_time() - began < 0.2:
        pass
    print(json.dumps({"heard": line.strip()}), flush=True)
"""


def program(reactor: Any, script: str, log: Path) -> Program:
    return Program(reactor, [sys.executable, "-c", script], {}, log)


@pytest_twisted.ensureDeferred
async def test_a_program_answers_and_is_measured(reactor: Any, tmp_path: Path) -> None:
    child = program(reactor, ANSWERS, tmp_path / "log")
    try:
        assert await child.line() == "ready"
        meter = Meter({"child": [child.pid]}, "PostgreSQL", [os.getpid()])
        meter.begin(reactor.seconds())
        assert await child.ask("many 5") == {"heard": "many 5"}
        await deferLater(reactor, 0.01)
        used = meter.end(reactor.seconds())
    finally:
        await child.end()
    assert 0.1 < used.cpu["child"] < 1.0
    assert used.rss["child"] > 3
    assert used.foreign >= 0
    assert not child.alive


@pytest_twisted.ensureDeferred
async def test_a_program_that_ends_is_no_answer(reactor: Any, tmp_path: Path) -> None:
    child = program(reactor, "import sys; sys.stderr.write('why'); sys.exit(3)", tmp_path / "log")
    with pytest.raises(ProgramEndedError):
        await child.line()
    with pytest.raises(ProgramEndedError):
        await child.ask("one 1")
    await child.end()
    assert (tmp_path / "log").read_text() == "why"
