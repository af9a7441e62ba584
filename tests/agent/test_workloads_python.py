from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from rtb.agent.output import OUTPUT_BYTES
from rtb.agent.workloads import Failed, Stopped, Succeeded


@pytest_twisted.ensureDeferred
async def test_it_gets_a_unit_and_returns_a_value(workload: Any, unit: Any) -> None:
    payload = {"é": [1, None, "x" * 60_000]}
    outcome = await workload("python:functions:echo").start(unit(payload)).done
    assert json.loads(outcome.result) == [17, "seventeen", 3, 2, payload]


@pytest_twisted.ensureDeferred
async def test_the_agent_stays_clean(workload: Any, unit: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("RTB_AMQP_URL", "amqp://user:canary@rabbit")
    outcome = await workload("python:functions:environment").start(unit()).done
    assert b"PATH" in outcome.result
    assert b"canary" not in outcome.result
    assert b"RTB_" not in outcome.result


@pytest_twisted.ensureDeferred
async def test_the_child_is_kept_warm(workload: Any, unit: Any) -> None:
    python = workload("python:functions:pid")
    pids = {(await python.start(unit()).done).result for _ in range(5)}
    assert len(pids) == 1
    assert pids != {str(os.getpid()).encode()}
    outcomes = await gatherResults([python.start(unit()).done for _ in range(3)])
    assert len({outcome.result for outcome in outcomes}) == 3


@pytest_twisted.ensureDeferred
async def test_permanent(workload: Any, unit: Any) -> None:
    outcome = await workload("python:functions:permanent").start(unit()).done
    assert outcome.permanent
    assert outcome.why == "no such scene"
    assert outcome.output.startswith("looking\nTraceback")


@pytest_twisted.ensureDeferred
async def test_an_exception(workload: Any, unit: Any) -> None:
    outcome = await workload("python:functions:fails").start(unit("cloud")).done
    assert not outcome.permanent
    assert outcome.why == "ValueError: bad cloud ? second line"
    printed, _, traceback = outcome.output.partition("Traceback")
    assert sorted(printed.splitlines()) == ["from a process", "to fd 1", "to stderr", "to stdout"]
    assert "child.py" not in traceback
    assert 'raise ValueError(f"bad' in traceback
    json.dumps(outcome.output, ensure_ascii=False).encode()


@pytest_twisted.ensureDeferred
async def test_each_unit_has_its_own_output(workload: Any, unit: Any) -> None:
    printed: list[bytes] = []
    python = workload("python:functions:prints", printed=printed.append)
    for _ in range(20):
        printed.append(b"|")
        await python.start(unit()).done
    assert b"".join(printed) == b"|kept from the next one\n" * 20


@pytest_twisted.ensureDeferred
async def test_much_output(workload: Any, unit: Any) -> None:
    outcome = await workload("python:functions:floods").start(unit()).done
    assert outcome.why == "ValueError: flooded"
    assert outcome.output.endswith("ValueError: flooded\n")
    assert len(outcome.output.partition("\n")[2]) == OUTPUT_BYTES


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("nan", "no JSON value"),
        ("object", "no JSON value: Object of type object"),
        ("nul", "NUL"),
        ("surrogate", "half a character"),
        ("long", "70002 bytes of JSON"),
        ("deep", "nested"),
        ("coroutine", "no JSON value: Object of type coroutine"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_no_result(workload: Any, unit: Any, kind: str, why: str) -> None:
    outcome = await workload("python:functions:returns").start(unit(kind)).done
    assert why in outcome.why
    assert outcome.permanent


@pytest.mark.parametrize(
    ("function", "why", "output"),
    [
        ("exits", "SystemExit: 3", "SystemExit: 3"),
        ("vanishes", "its process ended before it returned: exit code 7", "going\n"),
        ("crashes", "its process ended before it returned: killed by SIGSEGV", "in crashes"),
        ("breaks_protocol", "its process ended before it returned: killed by SIGKILL", ""),
        ("closes_everything", "its process ended before it returned: exit code 1", ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_crash_ends_that_unit_and_no_other(
    workload: Any, unit: Any, function: str, why: str, output: str
) -> None:
    python = workload(f"python:functions:{function}")
    sleeper = workload("python:functions:sleeps")
    sleeping = sleeper.start(unit(0.1))
    for _ in range(2):
        outcome = await python.start(unit()).done
        assert outcome.why == why
        assert not outcome.permanent
        assert output in outcome.output
    assert await sleeping.done == Succeeded(b'"slept"')


@pytest_twisted.ensureDeferred
async def test_a_limit_ends_that_unit_and_no_other(workload: Any, unit: Any) -> None:
    python = workload("python:functions:sleeps")
    other = python.start(unit(0.5))
    outcome = await python.start(unit(60, limit=0.2)).done
    assert outcome == Failed("timed out after 0.2 s", "", permanent=False)
    assert await other.done == Succeeded(b'"slept"')
    assert await python.start(unit(0)).done == Succeeded(b'"slept"')


@pytest_twisted.ensureDeferred
async def test_a_limit_ends_who_does_not_listen(workload: Any, unit: Any) -> None:
    began = time.monotonic()
    outcome = await workload("python:functions:stubborn").start(unit(limit=0.5)).done
    assert outcome == Failed("timed out after 0.5 s", "ignoring\n", permanent=False)
    assert 2 < time.monotonic() - began < 5


@pytest_twisted.ensureDeferred
async def test_stop_ends_a_busy_loop(workload: Any, unit: Any, ended: Any) -> None:
    printed: Deferred[bytes] = Deferred()
    running = workload("python:functions:works", printed=printed.callback).start(unit(limit=60))
    pid = int(await printed)
    running.stop()
    assert await running.done == Stopped()
    assert ended(pid)


@pytest_twisted.ensureDeferred
async def test_a_child_that_died_idle_costs_no_unit(
    workload: Any, unit: Any, ended: Any, reactor: Any
) -> None:
    python = workload("python:functions:pid")
    for _ in range(3):
        pid = int((await python.start(unit()).done).result)
        os.kill(pid, signal.SIGKILL)
        assert ended(pid)
        # The agent cannot have noticed yet: it gives the unit to the dead child.
        again = int((await python.start(unit()).done).result)
        assert again != pid
    os.kill(again, signal.SIGKILL)
    assert ended(again)
    while python._idle:
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.01, turn.callback, None)
        await turn
    assert (await python.start(unit()).done).result


@pytest_twisted.ensureDeferred
async def test_close_ends_the_children(workload: Any, unit: Any, ended: Any) -> None:
    python = workload("python:functions:pid")
    outcomes = await gatherResults([python.start(unit()).done for _ in range(3)])
    busy = workload("python:functions:sleeps")
    running = busy.start(unit(60))
    began = time.monotonic()
    await python.close()
    await busy.close()
    assert time.monotonic() - began < 1.5
    assert running.done.result == Stopped()
    assert all(ended(int(outcome.result)) for outcome in outcomes)


@pytest_twisted.ensureDeferred
async def test_no_more_children_wait_than_slots(workload: Any, unit: Any, ended: Any) -> None:
    python = workload("python:functions:pid", slots=1)
    outcomes = await gatherResults([python.start(unit()).done for _ in range(2)])
    left = (await python.start(unit()).done).result
    (other,) = {outcome.result for outcome in outcomes} - {left}
    assert await deferToThread(ended, int(other))


@pytest_twisted.ensureDeferred
async def test_a_plain_function_never_enters_the_agent(
    workload: Any, unit: Any, tmp_path: Any, monkeypatch: Any
) -> None:
    (tmp_path / "json.py").write_text("")
    (tmp_path / "in_child_only.py").write_text("def run(unit): return 'here'")
    monkeypatch.chdir(tmp_path)
    outcome = await workload("python:in_child_only:run").start(unit()).done
    assert outcome == Succeeded(b'"here"')
    assert "in_child_only" not in sys.modules


@pytest.mark.parametrize("function", ["coroutine", "inline", "deferred", "instance"])
@pytest_twisted.ensureDeferred
async def test_functions_of_the_reactor(workload: Any, unit: Any, function: str) -> None:
    running = workload(f"python:reactor_functions:{function}").start(unit({"a": 1}))
    assert running.done.called
    assert await running.done == Succeeded(b'{"a":1}')


@pytest_twisted.ensureDeferred
async def test_functions_of_the_reactor_that_fail(workload: Any, unit: Any) -> None:
    python = workload("python:reactor_functions:raises")
    outcome = await python.start(unit(True)).done
    assert (outcome.why, outcome.permanent) == ("never", True)
    outcome = await python.start(unit(False)).done
    assert (outcome.why, outcome.permanent) == ("KeyError: 'later'", False)
    assert "in raises" in outcome.output
    outcome = await workload("python:reactor_functions:nan").start(unit()).done
    assert outcome.permanent
    assert "no JSON value" in outcome.why


@pytest_twisted.ensureDeferred
async def test_functions_of_the_reactor_are_cancelled(workload: Any, unit: Any) -> None:
    python = workload("python:reactor_functions:cancelled")
    outcome = await python.start(unit(limit=0.1)).done
    assert outcome.why == "timed out after 0.1 s"
    running = python.start(unit(limit=60))
    running.stop()
    assert await running.done == Stopped()
    running = python.start(unit())
    await python.close()
    assert running.done.result == Stopped()


@pytest.mark.parametrize(
    "spec",
    ["command:sleep 0.02", "python:functions:sleeps", "python:reactor_functions:waits"],
)
@pytest_twisted.ensureDeferred
async def test_every_unit_ends_once_however_it_is_ended(
    workload: Any, unit: Any, reactor: Any, spec: str
) -> None:
    chosen = random.Random(1)
    one = workload(spec)

    def run() -> Any:
        running = one.start(unit(0.02, limit=chosen.choice([None, 0.0, 0.02, 0.03])))
        for _ in range(2):
            reactor.callLater(chosen.random() * 0.06, running.stop, chosen.choice([0, 0, 1]))
        return running.done

    for _ in range(5):
        for outcome in await gatherResults([run() for _ in range(4)]):
            match outcome:
                case Failed(why=why):
                    assert why.startswith("timed out")
                case Succeeded() | Stopped():
                    pass
    assert (await one.start(unit(0)).done).result
    await one.close()


@pytest_twisted.ensureDeferred
async def test_functions_of_the_reactor_that_do_not_listen(workload: Any, unit: Any) -> None:
    began = time.monotonic()
    outcome = await workload("python:reactor_functions:never_ends").start(unit(limit=0.1)).done
    assert outcome.why == "timed out after 0.1 s"
    assert time.monotonic() - began > 2
