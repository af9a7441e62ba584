"""Makes a leader's launcher of the settings, and the environment of the agents that it starts."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from rtb.addresses import Broker
from rtb.errors import ConfigurationError
from rtb.leader.launcher import Launcher, NoLauncher
from rtb.leader.staff import Staff
from rtb.settings import Settings

__all__ = ["agent_environment", "staff", "yarn_plan"]

#: Seconds after which a local agent without work and without a leader ends.
_ALONE = 60.0
_GUEST = Broker()


def staff(settings: Settings, reactor: Any, random: Random) -> Staff:
    """Return the staff of the leader that *settings* describe.

    :raises ConfigurationError: something in it cannot be started as it is
    """
    return Staff(
        launcher=_launcher(settings, reactor, random),
        bounds=settings.agents,
        slots=settings.agent_slots,
        quiet=settings.agents_quiet,
        offers=frozenset(settings.workloads),
    )


def agent_environment(settings: Settings) -> dict[str, str]:
    """Return what an agent of the same box needs to know, but for the broker."""
    return {
        "RTB_BROKER_BOX": settings.box,
        "RTB_EPOCH": f"{settings.epoch:g}",
        "RTB_AGENT_SLOTS": str(settings.agent_slots),
        "RTB_DRAIN_TIMEOUT": f"{settings.drain_timeout:g}",
        "RTB_LOG_LEVEL": settings.log_level,
        "RTB_WORKLOADS": ";".join(f"{name}={spec}" for name, spec in settings.workloads.items()),
    }


def yarn_plan(settings: Settings) -> Any:
    """Return the plan of the service on YARN.

    :raises ConfigurationError: something in it cannot be sent
    """
    # Here because it is slow to import, and most leaders have no use for it.
    from rtb.leader.yarn.spec import Plan

    broker = settings.amqp
    environment = agent_environment(settings)
    if settings.yarn_amqp_file:
        environment["RTB_AMQP_URL_FILE"] = settings.yarn_amqp_file
    elif (broker.user, broker.password, broker.vhost, broker.tls) == (
        _GUEST.user,
        _GUEST.password,
        _GUEST.vhost,
        _GUEST.tls,
    ):
        environment["RTB_BROKER_HOST"] = broker.where
    else:
        raise ConfigurationError(
            "the broker's URL holds a password, and everybody on a cluster can read what a "
            "service is told: put the URL into a file on each node, and name that with "
            "RTB_YARN_AMQP_URL_FILE"
        )
    return Plan(
        service=settings.yarn_service,
        queue=settings.yarn_queue,
        memory=settings.yarn_memory,
        cores=settings.yarn_cores,
        command=settings.yarn_command,
        lifetime=settings.yarn_lifetime,
        environment={**environment, **settings.yarn_env},
        files=tuple(settings.yarn_files),
    )


def _launcher(settings: Settings, reactor: Any, random: Random) -> Launcher:
    if settings.launcher == "local":
        return _local(settings, reactor, random)
    if settings.launcher == "yarn":
        return _yarn(settings, reactor, random)
    return NoLauncher()


def _local(settings: Settings, reactor: Any, random: Random) -> Launcher:
    from rtb.leader.local import LocalLauncher

    return LocalLauncher(
        reactor,
        host=platform.node(),
        environment=_local_environment(settings, os.environ),
        logs=Path(settings.agents_log).absolute() if settings.agents_log else None,
        token=lambda: random.randbytes(6).hex(),
    )


def _local_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in environ.items() if not name.startswith("RTB_")}
    return {
        **ours,
        **agent_environment(settings),
        # Only its own user can read a process's environment.
        "RTB_AMQP_URL": settings.amqp.url,
        "RTB_AGENT_ALONE": f"{_ALONE:g}",
        "PYTHONUNBUFFERED": "1",
    }


def _yarn(settings: Settings, reactor: Any, random: Random) -> Launcher:
    from rtb.leader.yarn.client import YarnClient
    from rtb.leader.yarn.launcher import YarnLauncher

    return YarnLauncher(
        reactor,
        YarnClient(reactor, settings.yarn_rm, settings.yarn_user),
        yarn_plan(settings),
        user=settings.yarn_user,
        idle=settings.yarn_idle,
        random=random.random,
    )
