"""``rtb check`` and ``rtb healthcheck``: is all there, and is one role well?"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection, HTTPException
from typing import Any

import click

from rtb.cli.api import api_option, base_url, local_environment
from rtb.cli.running import UNAVAILABLE, run
from rtb.errors import RtbError
from rtb.settings import Settings

__all__ = ["check", "healthcheck"]

_SECONDS = 3.0


@click.command()
@click.option("--yarn", "with_yarn", is_flag=True, help="The cluster that RTB_YARN_RM names.")
@api_option
def check(with_yarn: bool, api: str | None) -> None:
    """Try each thing that the settings name, a line for each; exit code 69 if one is away.

    With --yarn, say instead what the YARN cluster lacks; the exit code is 1 if it lacks something.
    """
    if with_yarn:
        run(_check_yarn)

    async def work(reactor: Any) -> int:
        settings = Settings.load({}, local_environment(os.environ))
        tries: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("PostgreSQL", lambda: _ledger(reactor, settings)),
            ("RabbitMQ", lambda: _broker(reactor, settings)),
            ("API", lambda: _api(reactor, base_url(api))),
        ]
        code = 0
        for name, attempt in tries:
            try:
                said = f"ok    {await attempt()}"
            except RtbError as problem:
                said, code = f"away  {problem}", UNAVAILABLE
            click.echo(f"{name:<11} {said}")
        return code

    run(work)


async def _check_yarn(reactor: Any) -> int:
    import secrets

    from rtb.leader.yarn.check import check as check_yarn
    from rtb.roles.staffing import yarn_plan

    settings = Settings.load({}, os.environ, role="leader")
    plan = yarn_plan(settings)
    managers, user = settings.yarn_rm, settings.yarn_user
    found = await check_yarn(reactor, managers, user, plan, secrets.token_hex(4))
    for finding in found:
        mark = "ok  " if finding.good else "LACK"
        click.echo(f"{mark}  {finding.what}: {finding.said}")
    # One ResourceManager of several may be away.
    beyond = found[len(managers) :]
    reached = any(finding.good for finding in found[: len(managers)])
    return 0 if reached and beyond and all(finding.good for finding in beyond) else 1


async def _ledger(reactor: Any, settings: Settings) -> str:
    from rtb.ledger import Reads, SchemaError

    reads = Reads(reactor, settings.db)
    try:
        summary = await reads.summary()
    except SchemaError:
        return f"{settings.db.where}, without tables yet: the API, or rtb migrate, makes them"
    finally:
        reads.close()
    return f"{settings.db.where}, {summary['units']['total']} units"


async def _broker(reactor: Any, settings: Settings) -> str:
    from twisted.internet import defer

    from rtb.broker import BrokerClient, BrokerUnavailable

    client = BrokerClient(reactor, settings.amqp, name="rtb check", random=lambda: 0.5, topology=())
    client.startService()
    try:
        await client.when_ready().addTimeout(_SECONDS, reactor)
    except defer.TimeoutError:
        why = next((link.problem for link in client.status() if link.problem), "no answer")
        raise BrokerUnavailable(why) from None
    finally:
        await client.stopService()
    return settings.amqp.where


async def _api(reactor: Any, url: str) -> str:
    from rtb.client import Client

    client = Client(url, reactor)
    try:
        summary = await client.status()
    finally:
        await client.close()
    active = sum(leader.state == "active" for leader in summary.leaders)
    return f"{url}, {active} leaders, {sum(one.agents for one in summary.leaders)} agents"


@click.command()
@click.option("--ready", is_flag=True, help="Ask for readiness, not only for a sign of life.")
@api_option
def healthcheck(ready: bool, api: str | None) -> None:
    """Ask a role on this machine whether it is well; exit code 1 if it is not.

    It asks where RTB_ADMIN_LISTEN says that the role listens, else the API.
    """
    path = "/readyz" if ready else "/livez"
    host, port = _where(api)
    connection = HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        answer = connection.getresponse()
        said = answer.read(2000).decode("utf-8", "replace").strip()
    except (OSError, HTTPException) as problem:
        click.echo(f"rtb: nobody answers at {host}:{port}: {problem}", err=True)
        raise SystemExit(1) from None
    finally:
        connection.close()
    click.echo(said)
    raise SystemExit(0 if answer.status == 200 else 1)


def _where(api: str | None) -> tuple[str, int]:
    from urllib.parse import urlsplit

    listens = os.environ.get("RTB_ADMIN_LISTEN", "")
    kind, _, rest = listens.partition(":")
    if api is None and kind == "tcp":
        port = rest.partition(":")[0].removeprefix("port=")
        return "127.0.0.1", int(port)
    url = urlsplit(base_url(api))
    return url.hostname or "127.0.0.1", url.port or 80
