"""A private RabbitMQ: the installed package's server, with a node, ports and users of its own.

Nothing of a RabbitMQ that the machine runs already is touched: neither its node, its data and its
cookie, nor its ``epmd``, the name service of Erlang nodes, of which this one has its own.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue

from rtb.sandbox.accounts import account_of
from rtb.sandbox.child import Child
from rtb.sandbox.directory import DataDirectory
from rtb.sandbox.errors import SandboxError
from rtb.sandbox.management import Management
from rtb.sandbox.readiness import amqp_answers, until_ready

__all__ = ["Rabbit", "is_installed"]

_STOP_PATIENCE = 10.0
_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
#: Two schedulers that sleep when idle, and Erlang's own traffic on the loopback only.
_VIRTUAL_MACHINE = (
    "-noinput -start_epmd false +S 2:2 +SDcpu 2 +SDio 4 +A 4 +sbwt none +sbwtdcpu none "
    "+sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
)
_CONFIGURATION = """\
listeners.tcp.local = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
disk_free_limit.absolute = 50MB
log.file = false
log.console = true
log.console.level = info
"""
_MANAGEMENT = """\
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
"""


class Rabbit:
    """A private RabbitMQ server; its data lives in ``rabbit`` of the data directory."""

    host = "127.0.0.1"
    #: Made in place of the user ``guest``, at the first start.
    user = "rtb"
    vhost = "/"

    def __init__(
        self, reactor: Any, directory: DataDirectory, *, durable: bool, management: bool
    ) -> None:
        self._reactor = reactor
        self._directory = directory
        # With management on, an orderly end takes 5 s longer: not for data that nobody needs.
        self._stop_signal = signal.SIGTERM if durable else signal.SIGKILL
        self._with_management = management
        self._account = account_of("rabbitmq")
        self._epmd = self._child("epmd")
        self.process = self._child("rabbit")
        self.port = 0
        self.password = ""
        self.management_port: int | None = None
        self._ports = (0, 0)

    def _child(self, name: str) -> Child:
        return Child(
            self._reactor, name, self._account, self._directory.path, death_signal=signal.SIGTERM
        )

    @property
    def url(self) -> str:
        """Where the server is, with the password."""
        return f"amqp://{self.user}:{self.password}@{self.host}:{self.port}/%2F"

    @property
    def management(self) -> Management:
        """The management API, where a vhost is made in milliseconds."""
        if self.management_port is None:
            raise SandboxError("this RabbitMQ was not asked to offer its management API")
        return Management(self._reactor, self.management_port, self.user, self.password)

    @property
    def _home(self) -> Path:
        return self._directory.path / "rabbit"

    async def start(self) -> None:
        """Start the server; return when it answers.

        :raises SandboxError: it does not come up
        """
        server = _server()
        await self.end_leftovers()
        self.password = self._directory.secret("rabbit")
        self.port = self._directory.port("amqp")
        if self._with_management:
            self.management_port = self._directory.port("management")
        self._ports = (self._directory.port("epmd"), self._directory.port("dist"))
        self._write_files()
        self._epmd.spawn([_epmd()], self._environment(), self._directory.path)
        try:
            await self._start_server(server)
        except BaseException:
            await self._stop_epmd()
            raise

    async def end_leftovers(self) -> None:
        """End what a killed run left behind."""
        for child in (self.process, self._epmd):
            await child.end_leftover()

    async def start_again(self) -> None:
        """Start the server at the ports that it had: after a kill."""
        await self._start_server(_server())

    async def _start_server(self, server: Path) -> None:
        self.process.spawn([os.fspath(server)], self._environment(), self._home)
        try:
            await until_ready(
                self._reactor, self.process, lambda: amqp_answers(self._reactor, self.port)
            )
        except BaseException:
            await self.process.end(signal.SIGKILL, _STOP_PATIENCE)
            raise

    async def kill(self) -> None:
        """End the server with SIGKILL; its name service stays."""
        ended = self.process.when_ended()
        self.process.signal_all(signal.SIGKILL)
        await ended

    def wipe(self) -> None:
        """Remove all that the server kept, as a lost disk would. It must have ended."""
        shutil.rmtree(self._home / "data", ignore_errors=True)

    async def control(self, *words: str) -> str:
        """Run ``rabbitmqctl`` with *words* and return what it prints.

        :raises SandboxError: it failed
        """
        output: bytes
        output, errors, code = await getProcessOutputAndValue(
            os.fspath(_SERVER.with_name("rabbitmqctl")),
            ["--quiet", *words],
            env=self._environment(),
            reactor=self._reactor,
        )
        if code:
            raise SandboxError(f"rabbitmqctl: {errors.decode(errors='replace').strip()[:400]}")
        return output.decode()

    async def stop(self) -> None:
        """End the server, then its name service."""
        await self.process.end(self._stop_signal, _STOP_PATIENCE)
        await self._stop_epmd()

    async def _stop_epmd(self) -> None:
        await self._epmd.end(signal.SIGTERM, 2.0)

    async def add_vhost(self, name: str) -> None:
        """Make a virtual host in which the user may do everything."""
        await self.management.add_vhost(name)

    async def remove_vhost(self, name: str) -> None:
        """Remove a virtual host with all that is in it."""
        await self.management.remove_vhost(name)

    def _write_files(self) -> None:
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._account.own(self._home)
        text = _CONFIGURATION.format(port=self.port, user=self.user, password=self.password)
        plugins = "[]."
        if self.management_port is not None:
            text += _MANAGEMENT.format(management_port=self.management_port)
            plugins = "[rabbitmq_management]."
        self._write("rabbit.conf", text)
        self._write("enabled_plugins", plugins)
        # Without one Erlang makes its own, and not from a good source of randomness.
        self._write(".erlang.cookie", self._directory.secret("cookie"))

    def _write(self, name: str, text: str) -> None:
        path = self._home / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        self._account.own(path)

    def _environment(self) -> dict[str, str]:
        home = os.fspath(self._home)
        epmd, distribution = self._ports
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": home,
            "ERL_EPMD_ADDRESS": self.host,
            "ERL_EPMD_PORT": str(epmd),
            # With it the script becomes the server instead of staying in front of it.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbit.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_NODENAME": "rtb@localhost",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _VIRTUAL_MACHINE,
        }


def is_installed() -> bool:
    """Is there a RabbitMQ to run?"""
    return _SERVER.exists()


def _server() -> Path:
    if not is_installed():
        raise SandboxError(
            "no RabbitMQ to run: install the package rabbitmq-server, "
            "or set RTB_BROKER_HOST to use a server that is there"
        )
    return _SERVER


def _epmd() -> str:
    path = shutil.which("epmd", path=f"{os.environ.get('PATH', '')}:/usr/bin")
    if path is None:
        raise SandboxError("RabbitMQ is there, but Erlang's epmd is not in the PATH")
    return path
