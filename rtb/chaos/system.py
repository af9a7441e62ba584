"""A whole system under test: both servers, a proxy before each for every role, and the roles."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from rtb.addresses import Broker, Database
from rtb.chaos import errand
from rtb.chaos.proxy import Proxy
from rtb.chaos.slot import LAUNCH, Slot
from rtb.sandbox.directory import free_port

__all__ = ["Shape", "System"]


@attrs.frozen(kw_only=True)
class Shape:
    """What runs, and with which settings."""

    apis: int = 2
    #: By box; where there are two, one of them stands by.
    leaders: Mapping[str, int] = attrs.field(factory=lambda: {"outbox": 2})
    agents: Mapping[str, int] = attrs.field(factory=lambda: {"outbox": 3})
    agent_slots: int = 4
    bound: int = 20
    epoch: float = 1.0
    #: Further variables.
    settings: Mapping[str, str] = attrs.field(factory=dict)
    launch: Sequence[str] = LAUNCH


class System:
    """Roles in *directory*, before the servers *database* and *broker*."""

    def __init__(
        self, reactor: Any, directory: Path, database: Database, broker: Broker, shape: Shape
    ) -> None:
        self.directory = directory
        self.shape = shape
        self._reactor = reactor
        self._database = database
        self._broker = broker
        self.executions = directory / "executions.log"
        self.slots: list[Slot] = []
        #: By slot, then by server (``postgres`` or ``rabbit``).
        self.proxies: dict[str, dict[str, Proxy]] = {}
        self.ports: dict[str, int] = {}

    def of_kind(self, kind: str) -> list[Slot]:
        """Return the slots of a role."""
        return [slot for slot in self.slots if slot.kind == kind]

    def slot(self, name: str) -> Slot:
        """Return the slot of that name."""
        (found,) = (slot for slot in self.slots if slot.name == name)
        return found

    async def prepare(self) -> None:
        """Make slots and proxies; nothing runs yet."""
        self.executions.touch()
        for name, kind, box in self._places():
            await self._add(name, kind, box)

    def start(self) -> None:
        """Start every role."""
        for slot in self.slots:
            slot.start()

    async def close(self) -> None:
        """Kill what still runs, and close the proxies."""
        for slot in self.slots:
            slot.retire()
        for slot in self.slots:
            await slot.stop()
        for proxies in self.proxies.values():
            for proxy in proxies.values():
                await proxy.stop()

    def _places(self) -> Iterator[tuple[str, str, str]]:
        for number in range(self.shape.apis):
            yield f"api-{number}", "api", "outbox"
        for kind, boxes in (("leader", self.shape.leaders), ("agent", self.shape.agents)):
            for box, count in boxes.items():
                for number in range(count):
                    yield f"{kind}-{box}-{number}", kind, box

    async def _add(self, name: str, kind: str, box: str) -> None:
        self.proxies[name] = proxies = {
            "rabbit": Proxy(self._reactor, self._broker.host, self._broker.port)
        }
        if kind == "api":
            proxies["postgres"] = Proxy(self._reactor, self._database.host, self._database.port)
            self.ports[name] = free_port()
        for proxy in proxies.values():
            await proxy.start()
        environment = self._environment(name, kind, box)
        self.slots.append(
            Slot(self._reactor, name, kind, environment, self.directory, self.shape.launch)
        )

    def _environment(self, name: str, kind: str, box: str) -> dict[str, str]:
        broker, proxies = self._broker, self.proxies[name]
        words = [sys.executable, "-I", "-S", errand.__file__, os.fspath(self.executions)]
        environment = {
            **{key: text for key, text in os.environ.items() if not key.startswith("RTB_")},
            "RTB_AMQP_URL": f"amqp://{broker.user}:{quote(broker.password)}"
            f"@127.0.0.1:{proxies['rabbit'].port}/{quote(broker.vhost, safe='')}",
            "RTB_BROKER_BOX": box,
            "RTB_EPOCH": f"{self.shape.epoch:g}",
            "RTB_BROADCAST_MAX_QUEUE": str(self.shape.bound),
            "RTB_AGENT_SLOTS": str(self.shape.agent_slots),
            "RTB_AGENT_NAME": name,
            "RTB_DRAIN_TIMEOUT": "2",
            "RTB_SEED_COUNT": "0",
            "RTB_WORKLOADS": f"default=command:{shlex.join(words)}",
            **self.shape.settings,
        }
        if kind == "api":
            database = self._database
            password = f":{quote(database.password)}" if database.password else ""
            environment["RTB_DATABASE_URL"] = (
                f"postgresql://{database.user}{password}@127.0.0.1:{proxies['postgres'].port}"
                f"/{database.name}?sslmode=disable"
            )
            environment["RTB_API_HOST"] = f"127.0.0.1:{self.ports[name]}"
        return environment
