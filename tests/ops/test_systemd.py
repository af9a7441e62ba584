"""The units of systemd: taken by systemd, and in agreement with the settings."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from rtb.ops.supervised import Supervised, Supervision
from rtb.settings import SETTINGS, Settings

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
ROLES = ("rtb-api.service", "rtb-leader.service", "rtb-agent@.service")


def unit(name: str) -> list[tuple[str, str]]:
    lines = (UNITS / name).read_text().splitlines()
    return [(key, value) for key, _, value in (line.partition("=") for line in lines) if value]


def values(name: str, key: str) -> list[str]:
    return [value for found, value in unit(name) if found == key]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not here: it comes with Debian's package systemd",
)
def test_systemd_takes_them(tmp_path: Path) -> None:
    # It is looked for, and a checkout's path may have a space.
    twistd = tmp_path / "twistd"
    twistd.symlink_to(Path(sys.executable).with_name("twistd"))
    units = tmp_path / "units"
    units.mkdir()
    for file in UNITS.iterdir():
        text = file.read_text().replace("/opt/rtb/bin/twistd", str(twistd))
        (units / file.name).write_text(text)
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(units.iterdir()))],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("name", ROLES)
def test_a_role_is_supervised_and_has_no_rights(name: str) -> None:
    (start,) = values(name, "ExecStart")
    assert start.endswith("rtb-" + name[4:].split(".")[0].rstrip("@"))
    assert values(name, "Type") == ["notify"]
    assert float(values(name, "WatchdogSec")[0]) >= 10
    assert values(name, "PartOf") == values(name, "WantedBy") == ["rtb.target"]
    for key in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateDevices"):
        assert values(name, key) == ["yes"], key
    assert values(name, "ProtectSystem") == ["strict"]


@pytest.mark.parametrize("name", ROLES)
def test_secrets_are_credentials_of_roles_that_use_them(name: str, tmp_path: Path) -> None:
    role = name[4:].split(".")[0].rstrip("@")
    named = dict(
        pair.split("=", 1) for line in values(name, "Environment") for pair in line.split()
    )
    credentials = {value.split(":")[0] for value in values(name, "LoadCredential")}
    files = {key: path for key, path in named.items() if key.endswith("_FILE")}
    assert {path.removeprefix("%d/") for path in files.values()} == credentials
    # As systemd would hand it over, the role takes it.
    known = {row.file_name for row in SETTINGS if row.secret and role in row.roles}
    assert set(files) <= known
    (tmp_path / "amqp-url").write_text("amqp://rtb:secret@rabbit/rtb\n")
    (tmp_path / "database-url").write_text("postgresql://rtb:secret@postgres/rtb\n")
    environ = {
        key: value.replace("%d", str(tmp_path)).replace("%H-%i", "host-1")
        for key, value in named.items()
    }
    settings = Settings.load({}, environ, role=role)
    assert settings.amqp.password == "secret"
    (stop,) = values(name, "TimeoutStopSec")
    if role == "agent":
        assert settings.drain_timeout + 5 <= float(stop)


def test_what_systemd_gives_is_taken_once() -> None:
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7", "A": "b"}
    assert Supervision.take(dict(environ), 8) == Supervision("@x", 0.0), "meant for another process"
    assert Supervision.take(environ, 7) == Supervision("@x", 3.0)
    assert environ == {"A": "b"}, "what the role starts does not speak for it"
    assert Supervision.take(environ, 7) is None


def test_ready_once_and_only_when_all_has_answered_and_alive_to_the_end(tmp_path: Path) -> None:
    parts = {"ledger": "ready", "broker": "away:\nrefused"}

    async def readiness() -> dict[str, str]:
        return parts

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)

        def said() -> list[str]:
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(heard.recv(4096).decode())
            return found

        clock = Clock()
        supervision = Supervision(str(tmp_path / "notify"), 4.0)
        supervised = Supervised(clock, supervision, readiness, lambda: "does its work")
        supervised.startService()
        waits = "STATUS=broker: away: refused\nEXTEND_TIMEOUT_USEC=30000000"
        assert said() == [waits, "WATCHDOG=1"]
        clock.advance(1)
        assert said() == [waits]
        parts["broker"] = "ready"
        clock.advance(1)
        assert sorted(said()) == ["STATUS=does its work\nREADY=1", "WATCHDOG=1"]
        clock.advance(1)
        assert said() == [], "it said so"
        parts["ledger"] = "gone"
        clock.advance(1)
        assert sorted(said()) == ["STATUS=ledger: gone", "WATCHDOG=1"]
        supervised.stopService()
        assert said() == ["STOPPING=1\nSTATUS=finishes what is under way"]
        clock.advance(2)
        assert said() == ["WATCHDOG=1"], "what hangs now is to be noticed, too"


def test_each_file_is_named_in_the_docs() -> None:
    page = (UNITS.parents[1] / "docs" / "how-to" / "systemd.md").read_text()
    assert {file.name for file in UNITS.iterdir()} <= set(re.findall(r"rtb[\w@.-]+", page))
