"""One run of ``rtb dev``: set everything up, follow the work, and take everything down again."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import field, frozen
from twisted.internet.defer import Deferred, DeferredList, FirstError
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from rtb.cli.api import local_environment
from rtb.cli.containers import Containers
from rtb.cli.follow import Follower, outcome
from rtb.cli.interrupts import Interrupts
from rtb.cli.log import begin_log
from rtb.cli.screen import next_steps, table
from rtb.client import Client
from rtb.errors import ConfigurationError
from rtb.roles import build
from rtb.roles.stages import Stages
from rtb.sandbox import Sandbox, SandboxError, default_directory
from rtb.settings import Settings, require_private_listening, unknown

__all__ = ["Stage", "Wishes", "url_of"]
_T = TypeVar("_T")

#: Seconds that what was cut short has to end once everything else has.
_UNWIND = 5.0
#: Seconds that the roles have for their last words when somebody does not want to wait.
_HURRY = 3.0


@frozen(kw_only=True)
class Wishes:
    """What the person asked for."""

    hold: bool = False
    leave: bool = False
    reset: bool = False
    yarn: bool = False
    data: Path | None = None
    #: Settings given as flags, by :attr:`rtb.settings.Setting.key`.
    flags: Mapping[str, str] = field(factory=dict)


class Stage:
    """One run."""

    def __init__(
        self, reactor: Any, wishes: Wishes, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._reactor = reactor
        self._wishes = wishes
        self._environ = local_environment(environ)
        self._interrupts = Interrupts(reactor)
        directory = wishes.data or default_directory(environ, Path.cwd(), root=os.getuid() == 0)
        self._sandbox = Sandbox(
            reactor,
            directory.absolute(),
            with_postgres=not _names(environ, "RTB_DB_HOST", "RTB_DATABASE_URL"),
            with_rabbit=not _names(environ, "RTB_BROKER_HOST", "RTB_AMQP_URL"),
        )
        self._containers = (
            Containers(reactor, directory.absolute(), environ) if wishes.yarn else None
        )
        #: What is to be done at the end, last first.
        self._endings: list[Callable[[], Awaitable[object]]] = []

    async def run(self) -> int:
        """Run until the person wants the end, or with ``--exit`` until the work is done."""
        work = Deferred.fromCoroutine(self._work())
        unwound: Deferred[None] = Deferred()
        asked: Deferred[int] = Deferred()
        # Ended before its time, the work has not come out well; a server was just ended.
        code = 1 if self._wishes.leave else 0
        self._interrupts.asked.addCallback(lambda _: asked.callback(code))
        try:
            return await _first(work, asked)
        finally:
            # Cut short, it still has to end what it had begun to start.
            work.addBoth(lambda _: unwound.callback(None))
            work.cancel()
            await self._end()
            await unwound.addTimeout(_UNWIND, self._reactor)

    async def _work(self) -> int:
        settings = Settings.load(self._wishes.flags, self._environ)
        require_private_listening(settings)
        if self._wishes.reset and not self._sandbox.servers:
            raise ConfigurationError("--reset forgets private servers only, and none is used")
        self._sandbox.directory.open()
        self._endings.append(self._close_directory)
        await _require_free(self._reactor, settings)
        await self._start_servers()
        private = self._sandbox.environment()
        if self._containers is not None:
            private |= await self._start_containers(self._containers, private)
        settings = Settings.load(self._wishes.flags, {**self._environ, **private})
        begin_log(self._log, settings.log_level)
        for name, nearest in unknown(self._environ):
            click.echo(f"rtb: {name} is not known and not used (nearest: {nearest})", err=True)
        self._start_roles(settings)
        client = Client(url_of(settings), self._reactor)
        self._endings.append(client.close)
        following = Deferred.fromCoroutine(self._follow(client, settings))
        return await self._unless_a_server_ends(following)

    @property
    def _log(self) -> Path:
        return self._sandbox.directory.path / "rtb.log"

    async def _start_servers(self) -> None:
        if self._sandbox.servers:
            click.echo("starting private servers ...", err=True)
        self._endings.append(self._stop_servers)
        await self._sandbox.start(reset=self._wishes.reset)

    async def _start_containers(
        self, containers: Containers, private: Mapping[str, str]
    ) -> dict[str, str]:
        self._interrupts.insisted.addCallback(lambda _: containers.kill())
        self._endings.append(containers.stop)
        return await containers.start(private.get("RTB_AMQP_URL"))

    def _start_roles(self, settings: Settings) -> None:
        if self._containers is None:
            stages = build.whole(settings, self._reactor)
        else:
            stages = build.api(settings, self._reactor, with_leader=True)
        assert isinstance(stages, Stages)
        stages.privilegedStartService()
        stages.startService()
        # The roles listen for signals, too, as they have to under twistd; here it is for us.
        self._interrupts.install()
        self._endings.append(lambda: self._stop_roles(stages))

    async def _unless_a_server_ends(self, following: Deferred[int]) -> int:
        lost: Deferred[Any] = self._sandbox.when_one_ended()
        lost.addCallback(lambda how: Failure(SandboxError(how)))
        try:
            return await _first(following, lost)
        finally:
            following.cancel()

    async def _follow(self, client: Client, settings: Settings) -> int:
        follower = Follower(self._reactor, client, url_of(settings))
        await follower.until_answered(self._log)
        click.echo(self._where(settings), err=True)
        if not self._wishes.hold:
            await client.go()
        units = await follower.until_done()
        if self._wishes.leave:
            return outcome(units)
        click.echo(next_steps(url_of(settings)), err=True)
        click.echo("Serving; Ctrl-C ends everything.", err=True)
        return await Deferred[int]()

    def _where(self, settings: Settings) -> str:
        private = self._sandbox.servers
        database, broker = settings.db.where, settings.amqp.where
        if "RTB_DATABASE_URL" in private:
            database += f"  (private, pid {self._sandbox.postgres.process.pid})"
        if "RTB_AMQP_URL" in private:
            broker += f"  (private, pid {self._sandbox.rabbit.process.pid})"
        agents = f"{settings.agent_name}, {settings.agent_slots} slots"
        if self._containers is not None:
            agents = f"{settings.agents} of {settings.agent_slots} slots, in YARN containers"
        workloads = ", ".join(f"{name}={spec}" for name, spec in settings.workloads.items())
        agents += f", {workloads}"
        rows = [
            ("API", f"{url_of(settings)}/"),
            ("leader", f"box {settings.box}, {settings.max_queue} units in its job tracker"),
            ("agents" if self._containers else "agent", agents),
            ("PostgreSQL", database),
            ("RabbitMQ", broker),
            *([("YARN", self._containers.where)] if self._containers is not None else []),
            ("data", f"{self._sandbox.directory.path}  (rtb dev --reset forgets it)"),
            ("log", str(self._log)),
        ]
        return f"\nEverything runs on this machine:\n\n{table(rows)}\n"

    async def _end(self) -> None:
        if self._interrupts.asked.called:
            click.echo("\nending ... (once more: at once)", err=True)
        while self._endings:
            await self._endings.pop()()

    async def _stop_roles(self, stages: Stages) -> None:
        enough: Deferred[None] = Deferred()

        def hurry(_: None) -> None:
            stages.hurry()
            self._reactor.callLater(_HURRY, enough.callback, None)

        self._interrupts.insisted.addCallback(hurry)
        await _first(stages.stopService(), enough)

    async def _stop_servers(self) -> None:
        self._interrupts.insisted.addCallback(lambda _: self._sandbox.kill())
        await self._sandbox.stop()

    async def _close_directory(self) -> None:
        self._sandbox.directory.close()


async def _first(*deferreds: Deferred[_T]) -> _T:
    """Return what the first of *deferreds* to fire brings, or raise it."""
    try:
        result, _ = await DeferredList(
            deferreds, fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True
        )
    except FirstError as problem:
        problem.subFailure.raiseException()
    return result


def _names(environ: Mapping[str, str], *variables: str) -> bool:
    return any(environ.get(name) or environ.get(f"{name}_FILE") for name in variables)


def url_of(settings: Settings) -> str:
    """Return the URL by which this machine reaches the API."""
    listens_here = settings.source("api_listen") == "default"
    host = f"127.0.0.1:{settings.api_host.port}" if listens_here else settings.api_host
    return f"http://{host}"


async def _require_free(reactor: Any, settings: Settings) -> None:
    """Refuse a port that somebody listens on: better before any server was started."""
    try:
        port = await serverFromString(reactor, settings.api_listen).listen(Factory())
    except CannotListenError as problem:
        taken = settings.api_host.port
        raise ConfigurationError(
            f"the API cannot listen at {settings.api_listen} ({problem.socketError}): "
            f"set RTB_API_HOST, for example RTB_API_HOST=127.0.0.1:{taken + 1}"
        ) from None
    await port.stopListening()
