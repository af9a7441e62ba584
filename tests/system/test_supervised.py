"""What roles tell systemd: a real socket, real roles, real servers."""

from __future__ import annotations

import socket
from pathlib import Path
from signal import SIGTERM

import pytest
import pytest_twisted
from line_support import Line, Role
from twisted.internet.task import deferLater

ensure = pytest_twisted.ensureDeferred


class Systemd:
    """The socket that a role is given, and what came through it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def hear(self) -> list[str]:
        while True:
            try:
                self.said.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.said

    def count(self, line: str) -> int:
        return sum(line in said.splitlines() for said in self.hear())

    def close(self) -> None:
        self._socket.close()


async def until_said(line: Line, systemd: Systemd, what: str, times: int = 1) -> None:
    end = line.reactor.seconds() + 90
    while systemd.count(what) < times:
        assert line.reactor.seconds() < end, (what, systemd.said, line.logs())
        await deferLater(line.reactor, 0.05, lambda: None)


def start(line: Line, role: str, systemd: Systemd, **settings: str) -> Role:
    line.environment |= {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "500000"}
    return line.start(role, **settings)


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        (("rtb-api",), "serves"),
        (("rtb-leader",), "leads: 0/50 held, 0 running, 0 agents"),
        (("rtb-agent",), "0/8 busy"),
    ],
)
@ensure
async def test_a_role_says_how_it_is(line: Line, roles: tuple[str], words: str) -> None:
    systemd = Systemd(line.directory / "notify")
    role = start(line, roles[0], systemd)
    await until_said(line, systemd, "READY=1")
    await until_said(line, systemd, "WATCHDOG=1", times=3)
    assert systemd.count("READY=1") == 1
    statuses = [text for said in systemd.said for text in said.splitlines() if "STATUS=" in text]
    assert f"STATUS={words}" in statuses[-1], statuses
    assert await role.end(SIGTERM) == 0
    assert systemd.count("STOPPING=1") == 1
    stopping = next(i for i, said in enumerate(systemd.said) if "STOPPING=1" in said)
    assert "READY=1" not in "".join(systemd.said[stopping:])
    assert "Traceback" not in line.logs()
    systemd.close()


@pytest.mark.parametrize(
    ("role", "away", "names"),
    [
        ("rtb-api", {"DATABASE_URL": "postgresql://x:y@127.0.0.1:1/z"}, "ledger: "),
        ("rtb-api", {"AMQP_URL": "amqp://127.0.0.1:1"}, "broker: "),
        ("rtb-agent", {"AMQP_URL": "amqp://127.0.0.1:1"}, "broker: "),
    ],
)
@ensure
async def test_it_is_not_ready_without_its_servers(
    line: Line, role: str, away: dict[str, str], names: str
) -> None:
    systemd = Systemd(line.directory / "notify")
    process = start(line, role, systemd, **away)
    await until_said(line, systemd, "EXTEND_TIMEOUT_USEC=30000000", times=3)
    await until_said(line, systemd, "WATCHDOG=1", times=3)
    statuses = [text for said in systemd.said for text in said.splitlines() if "STATUS=" in text]
    assert names in statuses[-1], statuses
    assert systemd.count("READY=1") == 0
    assert await process.end(SIGTERM) == 0
    assert systemd.count("STOPPING=1") == 1
    systemd.close()
