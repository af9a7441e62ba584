"""The data directory of a sandbox: where it is by default, its lock, and what it remembers."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from rtb.sandbox.errors import DirectoryInUseError, SandboxError

__all__ = ["DataDirectory", "default_directory", "free_port"]

_LOCK = "lock"
_MEMORY = "sandbox.json"


def default_directory(environ: Mapping[str, str], place: Path, *, root: bool) -> Path:
    """Return the directory in which the servers of the checkout *place* keep their data.

    It is outside of the checkout, and stays for the next start. Root's is not under root's home,
    which the servers' users cannot enter, and not under a temporary directory, where age would
    take single files away.
    """
    slug = re.sub(r"[^A-Za-z0-9]+", "-", place.name).strip("-")[:30] or "root"
    digest = hashlib.sha256(str(place.resolve()).encode()).hexdigest()[:10]
    if root:
        base = Path("/var/lib/rtb")
    else:
        state = environ.get("XDG_STATE_HOME") or str(Path(environ["HOME"]) / ".local" / "state")
        base = Path(state) / "rtb"
    return base / f"{slug}-{digest}"


def free_port() -> int:
    """Return a TCP port that nobody listens on at 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Memory(msgspec.Struct):
    ports: dict[str, int] = {}
    secrets: dict[str, str] = {}


class DataDirectory:
    """A directory with a lock, the ports that its servers had last time, and their passwords."""

    def __init__(
        self, path: Path, *, new_secret: Callable[[], str] = lambda: secrets.token_hex(16)
    ) -> None:
        self.path = path
        self._new_secret = new_secret
        self._lock: int | None = None
        self._memory = _Memory()

    def open(self) -> None:
        """Make the directory if need be, and lock it, unless that is done already.

        :raises DirectoryInUseError: another process holds the lock
        :raises SandboxError: the directory belongs to somebody else
        """
        if self._lock is not None:
            return
        # Other users' servers must be able to pass through root's directories, not to list them.
        mode = 0o711 if os.getuid() == 0 else 0o700
        _make_parents(self.path)
        self.path.mkdir(mode=mode, exist_ok=True)
        status = self.path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise SandboxError(f"{self.path} is not a directory of this user: choose another one")
        self.path.chmod(mode)
        lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DirectoryInUseError(f"another rtb already runs from {self.path}") from None
        self._lock = lock
        self._recall()

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def forget(self) -> None:
        """Remove everything but the lock. The servers must have ended."""
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()
        self._memory = _Memory()

    def port(self, name: str) -> int:
        """Return the port of the server *name*: the one of last time if it is still free."""
        port = self._memory.ports.get(name)
        if port is None or not _is_free(port):
            port = free_port()
            while port in self._memory.ports.values():
                port = free_port()
            self._memory.ports[name] = port
            self._remember()
        return port

    def secret(self, name: str) -> str:
        """Return the password *name*, made on first use."""
        if name not in self._memory.secrets:
            self._memory.secrets[name] = self._new_secret()
            self._remember()
        return self._memory.secrets[name]

    def _recall(self) -> None:
        try:
            self._memory = msgspec.json.decode((self.path / _MEMORY).read_bytes(), type=_Memory)
        except FileNotFoundError:
            self._memory = _Memory()
        except msgspec.DecodeError as error:
            raise SandboxError(f"{self.path / _MEMORY} cannot be read: {error}") from error

    def _remember(self) -> None:
        new = self.path / (_MEMORY + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self._memory))
        new.replace(self.path / _MEMORY)


def _make_parents(path: Path) -> None:
    """Make the directories above *path* that are missing, passable whatever the umask is."""
    if not path.parent.exists():
        _make_parents(path.parent)
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o755)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection of last time that waits in TIME_WAIT is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
