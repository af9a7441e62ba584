from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rtb.cli.try_ import try_

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "workloads.md").read_text()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which a shell finds ``rtb`` of this checkout."""
    rtb = tmp_path / "rtb"
    rtb.write_text(
        f"""#!/bin/sh\nshift\nexec "{sys.executable}" -c """
        """'from rtb.cli.try_ import try_; try_(prog_name="rtb try")' "$@"\n"""
    )
    rtb.chmod(0o755)
    known = {name: value for name, value in os.environ.items() if not name.startswith("RTB_")}
    path = f"{tmp_path}{os.pathsep}{known['PATH']}"
    return known | {"PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def attempt(environment: dict[str, str]) -> Any:
    def run(*arguments: str, stdin: str = "", **variables: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            ["rtb", "try", *arguments],
            env=environment | variables,
            input=stdin,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    return run


def test_success(attempt: Any) -> None:
    script = """command:sh -c 'echo log >&2; cat'"""
    given = '{"id": 7, "name": "x", "order": 2, "attempt": 4, "payload": {"a": 1}}'
    code, out, err = attempt(script, "-", stdin=given)
    assert (code, out) == (0, given.replace(" ", "") + "\n")
    assert err.startswith("log\n")
    assert json.loads(err.removeprefix("log\n")) == json.loads(given)


def test_failure(attempt: Any) -> None:
    code, out, err = attempt("python:functions:permanent")
    assert (code, out) == (3, "")
    assert err.startswith("looking\nTraceback")
    assert err.endswith("failed: no such scene (it would not be tried again)\n")
    assert attempt("coinflip:error=1,seconds=0")[0] == 3
    code, out, err = attempt("python:reactor_functions:cancelled", "--limit", "0.1")
    assert (code, out) == (3, "")
    assert err.endswith("failed: timed out after 0.1 s (it would be tried again)\n")


def test_a_name_that_is_configured(attempt: Any) -> None:
    code, out, _ = attempt("mine", RTB_WORKLOADS="mine=command:echo 5; broken=command:nowhere")
    assert (code, out) == (0, "5\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "why"),
    [
        (["nothing"], "", "nothing: is none of coinflip"),
        (["command:nowhere"], "", "there is no program 'nowhere'"),
        (["noop", "/no/such/file"], "", "No such file"),
        (["noop", "-"], "{", "UNIT.json is not a unit"),
        (["noop", "-"], '{"payloads": 1}', "unknown field `payloads`"),
        (["noop", "--limit", "0"], "", "--limit"),
        ([], "", "Missing argument"),
    ],
)
def test_usage(arguments: list[str], stdin: str, why: str) -> None:
    result = CliRunner().invoke(try_, arguments, input=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert why in result.stderr


def test_control_c_ends_the_unit(environment: dict[str, str], ended: Any) -> None:
    process = subprocess.Popen(
        ["rtb", "try", "command:sh -c 'echo $$; sleep 60'"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    pid = int(process.stderr.readline())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, b"interrupted\n")
    assert ended(pid)


def test_the_files_in_the_docs_are_the_examples() -> None:
    shown = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", DOCS, re.DOTALL)
    assert len(shown) == 3
    for path, text in shown:
        assert text == (ROOT / path).read_text(), path
