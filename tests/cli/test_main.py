"""The command ``rtb`` from the outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtb.cli.api import base_url

RTB = Path(sys.executable).with_name("rtb")


def rtb(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTB_")}
    return subprocess.run(
        [RTB, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**clean, **environ},
        timeout=60,
    )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["agents", "drain"],
        ["agents", "list"],
        ["check"],
        ["completion"],
        ["config", "show"],
        ["dev"],
        ["healthcheck"],
        ["migrate"],
        ["openapi"],
        ["go"],
        ["orders", "create"],
        ["prune"],
        ["orders", "export"],
        ["orders", "retry"],
        ["status"],
        ["tracker"],
        ["try"],
        ["stop"],
        ["units", "cancel"],
        ["units", "show"],
        ["watch"],
    ],
)
def test_every_command_explains_itself(command: list[str]) -> None:
    shown = rtb(*command, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"Usage: rtb{' ' if command else ''}{' '.join(command)}")


def test_an_unknown_command_is_refused() -> None:
    refused = rtb("fly")
    assert refused.returncode == 2
    assert "No such command 'fly'" in refused.stderr


def test_settings_are_shown_with_their_sources_and_without_secrets() -> None:
    shown = rtb(
        "config", "show", "--sources", RTB_AMQP_URL="amqp://me:secret@there/v", RTB_MAX_QEUE="3"
    )
    assert shown.returncode == 0
    assert "amqp://me:***@there:5672/v  (environment)" in shown.stdout
    assert "secret" not in shown.stdout
    assert shown.stderr.startswith("rtb: RTB_MAX_QEUE is not known and not used")


@pytest.mark.parametrize("command", [["config", "show"], ["migrate"], ["dev"]])
def test_a_bad_setting_is_one_line_and_exit_code_78(command: list[str]) -> None:
    refused = rtb(*command, RTB_SEED_COUNT="many")
    assert refused.returncode == 78
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert "RTB_SEED_COUNT='many'" in refused.stderr


def test_an_api_that_is_not_there_is_one_line() -> None:
    failed = rtb("agents", "drain", "abc", "--api", "http://127.0.0.1:1")
    assert failed.returncode == 69
    assert failed.stderr.startswith("rtb: no answer from http://127.0.0.1:1: ")
    assert len(failed.stderr.splitlines()) == 1


def test_a_prune_without_an_age_deletes_nothing() -> None:
    refused = rtb("prune", "-y", RTB_DB_HOST="127.0.0.1:1")
    assert refused.returncode == 78
    assert refused.stderr.startswith("rtb: say --older-than, for example 30d")
    refused = rtb("prune", "--older-than", "30", "-y", RTB_DB_HOST="127.0.0.1:1")
    assert refused.returncode == 2
    assert "must be a number with s, m, h, d or w behind it" in refused.stderr


def test_the_api_is_on_this_machine_unless_it_is_said_where() -> None:
    assert base_url(None, {}) == "http://127.0.0.1:8080"
    assert base_url(None, {"RTB_API_HOST": "there:1234"}) == "http://there:1234"
    assert base_url("http://given/", {"RTB_API_HOST": "there:1234"}) == "http://given/"
