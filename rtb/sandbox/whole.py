"""Both private servers with one data directory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from signal import SIGKILL
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from rtb.sandbox.accounts import account_of, can_reach
from rtb.sandbox.child import Child
from rtb.sandbox.directory import DataDirectory
from rtb.sandbox.errors import SandboxError
from rtb.sandbox.postgres import Postgres
from rtb.sandbox.rabbit import Rabbit

__all__ = ["Sandbox"]


class Sandbox:
    """A private PostgreSQL and a private RabbitMQ, as children of this process.

    Each may be left out, where a server is there that is to be used instead.
    ``durable=False`` is for tests, whose data nobody needs afterwards: PostgreSQL spares its
    fsyncs, and RabbitMQ is not asked to end but killed.
    """

    def __init__(
        self,
        reactor: Any,
        directory: Path,
        *,
        durable: bool = True,
        management: bool = False,
        with_postgres: bool = True,
        with_rabbit: bool = True,
        new_secret: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self.directory = DataDirectory(directory, new_secret=new_secret)
        self.postgres = Postgres(reactor, self.directory, durable=durable)
        self.rabbit = Rabbit(reactor, self.directory, durable=durable, management=management)
        #: Those that run, each by the setting that names it.
        self.servers: dict[str, Postgres | Rabbit] = {}
        if with_postgres:
            self.servers["RTB_DATABASE_URL"] = self.postgres
        if with_rabbit:
            self.servers["RTB_AMQP_URL"] = self.rabbit

    def start(self, *, reset: bool = False) -> Deferred[None]:
        """Start both servers; fires when both answer. With *reset* the old data goes first."""
        return Deferred.fromCoroutine(self._start(reset))

    def stop(self) -> Deferred[None]:
        """End both servers; fires when nothing of them is left."""
        return Deferred.fromCoroutine(self._stop())

    def environment(self) -> dict[str, str]:
        """Return the settings that make rtb use these servers."""
        return {name: server.url for name, server in self.servers.items()}

    def kill(self) -> None:
        """End both at once, for somebody who does not want to wait; :meth:`stop` fires sooner."""
        for server in self.servers.values():
            server.process.signal_all(SIGKILL)

    def when_one_ended(self) -> Deferred[str]:
        """Fire when a server that runs now has ended, with what is to be said of that."""
        first: Deferred[str] = Deferred()
        for server in self.servers.values():
            server.process.when_ended().addCallback(_say_once, server.process, first)
        return first

    async def _start(self, reset: bool) -> None:
        self.directory.open()
        try:
            self._check_reach()
            if reset:
                for server in (self.postgres, self.rabbit):
                    await server.end_leftovers()
                self.directory.forget()
            await _all(server.start() for server in self.servers.values())
        except BaseException:
            await self._stop()
            raise

    async def _stop(self) -> None:
        try:
            await _all(server.stop() for server in self.servers.values())
        finally:
            self.directory.close()

    def _check_reach(self) -> None:
        for account in (account_of("postgres"), account_of("rabbitmq")):
            if not can_reach(account, self.directory.path):
                raise SandboxError(
                    f"root's servers run as the user {account.name}, who cannot enter "
                    f"{self.directory.path}: choose another data directory"
                )


def _say_once(how: str, child: Child, first: Deferred[str]) -> None:
    if not first.called:
        first.callback(str(child.failed(how)))


async def _all(works: Iterable[Coroutine[Deferred[Any], Any, None]]) -> None:
    """Wait for all of *works* to end, well or badly; then raise what went wrong first."""
    deferreds = [Deferred.fromCoroutine(work) for work in works]
    results = await DeferredList(deferreds, consumeErrors=True)
    for succeeded, result in results:
        if not succeeded:
            assert isinstance(result, Failure)
            result.raiseException()
