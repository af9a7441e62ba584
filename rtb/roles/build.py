"""Builds the roles: the only code that makes their objects and puts them together."""

from __future__ import annotations

import os
import platform
from collections.abc import Awaitable, Callable, Mapping
from random import Random, SystemRandom
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.application.service import IService, MultiService

from rtb.agent.agent import Agent
from rtb.agent.identity import Identity, host_of
from rtb.agent.metrics import AgentMetrics
from rtb.agent.workloads import make_workloads
from rtb.api.api import Api
from rtb.api.web.listening import Listening
from rtb.broker import BrokerClient, shared
from rtb.leader.leader import Leader
from rtb.leader.metrics import LeaderMetrics
from rtb.model.pace import Pace
from rtb.ops.admin import READY, Readiness, make_admin_site
from rtb.ops.metrics import BrokerMetrics, Role, exposed, make_registry
from rtb.ops.supervised import Supervised, Supervision
from rtb.roles.staffing import staff
from rtb.roles.stages import Stages
from rtb.settings import Settings

__all__ = ["agent", "api", "leader", "whole"]


def api(settings: Settings, reactor: Any, with_leader: bool = False) -> IService:
    """Return the API; *with_leader*, a leader beside it on the same broker connections."""
    return _build(settings, reactor, "api", "leader" if with_leader else "")


def leader(settings: Settings, reactor: Any) -> IService:
    """Return the leader of ``settings.box``."""
    return _build(settings, reactor, "leader")


def agent(settings: Settings, reactor: Any) -> IService:
    """Return an agent of ``settings.box``."""
    return _build(settings, reactor, "agent")


def whole(settings: Settings, reactor: Any) -> IService:
    """Return API, leader and agent, in one process on one broker client."""
    return _build(settings, reactor, "api", "leader", "agent")


def _build(settings: Settings, reactor: Any, *roles: str) -> IService:
    """Return *roles* in this order, and what shows how they are."""
    random = SystemRandom()
    # Before anything that starts processes, which are not to speak for this one.
    supervision = Supervision.take(os.environ, os.getpid())
    stages = _stages(settings, reactor, roles[0] if len(roles) == 1 else "rtb")
    shown: list[Role] = [BrokerMetrics(stages.client)]
    words: list[Callable[[], str]] = []
    api = None
    if "api" in roles:
        api = Api(reactor, settings, stages.client, random)
        shown.append(api.metrics)
        words.append(lambda: f"serves {settings.api_host}")
        _add(stages, api)
    if "leader" in roles:
        leader = _leader(settings, reactor, stages.client, random)
        leading = LeaderMetrics(leader, settings.max_queue)
        shown.append(leading)
        words.append(leading.words)
        _add(stages, leader)
    if "agent" in roles:
        agent = _agent(settings, reactor, stages.client, random)
        working = AgentMetrics(agent, settings.agent_slots)
        shown.append(working)
        words.append(working.words)
        _add(stages, agent)
    registry = make_registry(reactor, *shown)
    if api is not None:
        api.metrics.registry = registry
    readiness = api.readiness if api is not None else _broker_readiness(stages.client)
    if settings.admin_listen:
        scrape = api.metrics.scrape if api is not None else _scrape(registry)
        site = make_admin_site(scrape, readiness, reactor)
        says = "RTB_ADMIN_LISTEN says where to listen"
        _add(stages, Listening(reactor, settings.admin_listen, site, says))
    if supervision is not None:
        _add(
            stages,
            Supervised(reactor, supervision, readiness, lambda: "; ".join(say() for say in words)),
        )
    return stages


def _scrape(registry: CollectorRegistry) -> Callable[[], Awaitable[bytes]]:
    async def scrape() -> bytes:
        return exposed(registry)

    return scrape


def _broker_readiness(client: BrokerClient) -> Readiness:
    async def readiness() -> Mapping[str, str]:
        waits = [link.problem or link.state for link in client.status() if not link.ready]
        return {"broker": waits[0] if waits else READY}

    return readiness


def _stages(settings: Settings, reactor: Any, name: str) -> Stages:
    random = SystemRandom()
    client = BrokerClient(
        reactor,
        settings.amqp,
        name=f"rtb {name}",
        random=random.random,
        topology=shared(),
    )
    return Stages(reactor, client)


def _add(parent: MultiService, service: Any) -> None:
    service.setServiceParent(parent)


def _leader(settings: Settings, reactor: Any, client: BrokerClient, random: Random) -> Leader:
    return Leader(
        reactor,
        client,
        name=settings.box,
        capacity=settings.max_queue,
        pace=Pace(settings.epoch),
        random_bytes=random.randbytes,
        staff=staff(settings, reactor, random),
    )


def _agent(settings: Settings, reactor: Any, client: BrokerClient, random: Random) -> Agent:
    return Agent(
        reactor,
        client,
        Identity(
            settings.agent_name,
            host_of(os.environ, platform.node()),
            os.getpid(),
            settings.box,
            settings.agent_container,
        ),
        make_workloads(reactor, settings.workloads, slots=settings.agent_slots, random=random),
        slots=settings.agent_slots,
        drain_timeout=settings.drain_timeout,
        pace=Pace(settings.epoch),
        random_bytes=random.randbytes,
        alone=settings.agent_alone,
        end=reactor.stop,
    )
