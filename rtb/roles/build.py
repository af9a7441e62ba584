"""Builds the roles: the only code that makes their objects and puts them together."""

from __future__ import annotations

import os
import platform
from random import Random, SystemRandom
from typing import Any

from twisted.application.service import IService, MultiService

from rtb.agent.agent import Agent
from rtb.agent.identity import Identity, host_of
from rtb.agent.workloads import make_workloads
from rtb.api.api import Api
from rtb.broker import BrokerClient, shared
from rtb.leader.leader import Leader
from rtb.model.pace import Pace
from rtb.roles.staffing import staff
from rtb.roles.stages import Stages
from rtb.settings import Settings

__all__ = ["agent", "api", "leader", "whole"]


def api(settings: Settings, reactor: Any, with_leader: bool = False) -> IService:
    """Return the API; *with_leader*, a leader beside it on the same broker connections."""
    stages = _stages(settings, reactor, "api")
    random = SystemRandom()
    _add(stages, Api(reactor, settings, stages.client, random))
    if with_leader:
        _add(stages, _leader(settings, reactor, stages.client, random))
    return stages


def leader(settings: Settings, reactor: Any) -> IService:
    """Return the leader of ``settings.box``."""
    stages = _stages(settings, reactor, "leader")
    _add(stages, _leader(settings, reactor, stages.client, SystemRandom()))
    return stages


def agent(settings: Settings, reactor: Any) -> IService:
    """Return an agent of ``settings.box``."""
    stages = _stages(settings, reactor, "agent")
    _add(stages, _agent(settings, reactor, stages.client, SystemRandom()))
    return stages


def whole(settings: Settings, reactor: Any) -> IService:
    """Return API, leader and agent, in one process on one broker client."""
    stages = _stages(settings, reactor, "rtb")
    random = SystemRandom()
    _add(stages, Api(reactor, settings, stages.client, random))
    _add(stages, _leader(settings, reactor, stages.client, random))
    _add(stages, _agent(settings, reactor, stages.client, random))
    return stages


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
