"""Broker clients that are stopped after the test."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_twisted import blockon

from rtb.broker import BrokerClient, shared
from rtb.settings import Broker


@pytest.fixture
def connect(reactor: Any) -> Iterator[Callable[..., BrokerClient]]:
    """Make and start a client; it is stopped at the end."""
    clients: list[BrokerClient] = []

    def start(broker: Broker, **options: Any) -> BrokerClient:
        options = {"name": "test", "random": random.random, "topology": shared()} | options
        client = BrokerClient(reactor, broker, **options)
        clients.append(client)
        client.startService()
        return client

    yield start
    for client in clients:
        if client.running:
            blockon(client.stopService())
