"""``python:MODULE:FUNCTION``: which function that is, and where it is to run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from rtb.agent import child
from rtb.agent.output import Tail, one_line
from rtb.agent.workloads.contract import Workload
from rtb.agent.workloads.launch import Launch
from rtb.agent.workloads.reactive import ReactorFunction
from rtb.agent.workloads.warm import WarmFunction, child_argv
from rtb.errors import ConfigurationError

__all__ = ["make_python"]

_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
#: Seconds that importing the function may take.
_IMPORT = 60.0


def make_python(
    reactor: Any, function: str, slots: int, printed: Callable[[bytes], None] | None
) -> Workload:
    """Return the workload that calls *function*, which is ``MODULE:FUNCTION``.

    :raises ConfigurationError: it cannot be imported
    """
    if not _NAME.fullmatch(function):
        raise ConfigurationError("is not python:MODULE:FUNCTION, as in python:scenes:process")
    launch = Launch.here(reactor, os.environ)
    kind = _look(launch, function)
    if kind == "plain":
        return WarmFunction(launch, function, slots, printed)
    if kind != "reactive":
        raise ConfigurationError(f"cannot be imported: {one_line(kind)}")
    if os.getcwd() not in sys.path:
        # Where `python -m` would look for the module, and where its child has found it.
        sys.path.insert(0, os.getcwd())
    return ReactorFunction(reactor, child.load(function), printed)


def _look(launch: Launch, function: str) -> str:
    """Import *function* in a process of its own, so that a plain one never enters the agent."""
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as said:
        argv = [*launch.words, *child_argv(function, answer.fileno())]
        try:
            ended = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=launch.environment,
                pass_fds=(answer.fileno(),),
                timeout=_IMPORT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"importing it takes longer than {_IMPORT:g} s"
        answer.seek(0)
        said.seek(0)
        tail = Tail(2048)
        tail.feed(said.read())
        return answer.read().decode(errors="replace") or (
            f"importing it ended its process (exit code {ended.returncode}): {tail.text()}"
        )
