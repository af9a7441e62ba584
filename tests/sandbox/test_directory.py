"""The data directory: where it is, who may use it, what it remembers."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from rtb.sandbox import DirectoryInUseError, SandboxError, default_directory
from rtb.sandbox.directory import DataDirectory


def counting_secrets() -> Callable[[], str]:
    numbers = itertools.count(1)
    return lambda: f"secret-{next(numbers)}"


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path / "data", new_secret=counting_secrets())


def test_each_checkout_has_its_own_default(tmp_path: Path) -> None:
    one = default_directory({"HOME": "/home/me"}, tmp_path / "a b", root=False)
    two = default_directory({"HOME": "/home/me"}, tmp_path / "c" / "a b", root=False)

    assert one != two
    assert one.parent == Path("/home/me/.local/state/rtb")
    assert one.name.startswith("a-b-")


def test_an_ordinary_user_may_move_the_default(tmp_path: Path) -> None:
    environ = {"HOME": "/home/me", "XDG_STATE_HOME": "/data/state"}
    assert default_directory(environ, tmp_path, root=False).parent == Path("/data/state/rtb")


def test_roots_default_is_no_home(tmp_path: Path) -> None:
    assert default_directory({"HOME": "/root"}, tmp_path, root=True).parent == Path("/var/lib/rtb")


def test_the_second_who_opens_it_is_told(directory: DataDirectory) -> None:
    directory.open()
    with pytest.raises(DirectoryInUseError, match="another rtb already runs from"):
        DataDirectory(directory.path).open()
    directory.close()
    second = DataDirectory(directory.path)
    second.open()
    second.close()


def test_secrets_and_ports_come_back(directory: DataDirectory) -> None:
    directory.open()
    port, secret = directory.port("postgres"), directory.secret("postgres")
    directory.close()

    again = DataDirectory(directory.path, new_secret=counting_secrets())
    again.open()

    assert (again.port("postgres"), again.secret("postgres")) == (port, secret)
    assert again.secret("rabbit") != secret or secret == "secret-1"
    assert (directory.path / "sandbox.json").stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_port_that_is_taken_is_not_used_again(directory: DataDirectory) -> None:
    directory.open()
    port = directory.port("amqp")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert directory.port("amqp") != port
    directory.close()


def test_two_servers_never_get_one_port(directory: DataDirectory) -> None:
    directory.open()
    ports = [directory.port(f"server-{number}") for number in range(50)]
    assert len(set(ports)) == 50
    directory.close()


def test_forgetting_leaves_only_the_lock(directory: DataDirectory) -> None:
    directory.open()
    old = directory.secret("postgres")
    (directory.path / "postgres").mkdir()
    (directory.path / "postgres" / "file").touch()

    directory.forget()

    assert os.listdir(directory.path) == ["lock"]
    assert directory.secret("postgres") != old
    directory.close()


def test_a_damaged_memory_is_named(directory: DataDirectory) -> None:
    directory.path.mkdir()
    (directory.path / "sandbox.json").write_text("{")
    with pytest.raises(SandboxError, match=r"sandbox\.json cannot be read"):
        directory.open()
    directory.close()


def test_what_is_no_directory_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SandboxError, match="not a directory of this user"):
        DataDirectory(tmp_path / "data").open()


def test_directories_above_can_be_passed_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        directory = DataDirectory(tmp_path / "a" / "b" / "data")
        directory.open()
        directory.close()
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o755
