"""Places orders through whichever API answers, and keeps the books of what was accepted."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import deferLater

from rtb.chaos.evidence import Evidence
from rtb.client import ApiUnreachableError, Client, ClientError

__all__ = ["Feeder", "wishes"]

_ORDER = 20
_ACCOUNTS = ("jane", "joe", "ann")
#: Bytes of payload of a fat unit: two of them fill a message of the box.
_FAT = 60_000


def wishes(random: Random, count: int, long: float) -> list[dict[str, Any]]:
    """Return the payloads of *count* units: most are short and succeed; *long* seconds some."""
    found: list[dict[str, Any]] = []
    for _ in range(count):
        kind = random.random()
        end = (
            "flaky" if kind < 0.05 else "failed" if kind < 0.06 else
            "error" if kind < 0.09 else "success"
        )  # fmt: skip
        seconds = round(random.expovariate(10), 3)
        found.append({"seconds": min(seconds, 1.0), "end": end})
    for index in range(0, count, 60):
        found[index] = {"seconds": long, "end": "success"}
    return found


def _fattened(payloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *payloads*, some so large that a claim of them needs several messages."""
    return [
        {**wish, "fat": "x" * _FAT} if index < 6 else wish for index, wish in enumerate(payloads)
    ]


class Feeder:
    """Places *count* units in orders of 20, over *span* seconds."""

    def __init__(
        self, reactor: Any, clients: list[Client], random: Random, evidence: Evidence
    ) -> None:
        self._reactor = reactor
        self._clients = clients
        self._random = random
        self._evidence = evidence
        self._orders = 0

    @property
    def accepted(self) -> int:
        """How many units were accepted so far."""
        return sum(self._evidence.accepted.values())

    async def feed(self, payloads: list[dict[str, Any]], span: float) -> None:
        """Place *payloads*, evenly spread over *span* seconds."""
        orders = [payloads[index : index + _ORDER] for index in range(0, len(payloads), _ORDER)]
        for number, payload in enumerate(orders):
            await self._place(_fattened(payload) if number % 5 == 2 else payload)
            await deferLater(self._reactor, span / len(orders), lambda: None)

    async def feed_more(self) -> None:
        """Place one more order, of short units."""
        await self._place(_fattened(wishes(self._random, _ORDER, 0.5)))

    async def go(self) -> None:
        """Press go until somebody has answered."""
        while True:
            try:
                await self._random.choice(self._clients).go()
            except (ApiUnreachableError, ClientError):
                await deferLater(self._reactor, 0.2, lambda: None)
            else:
                return

    async def _place(self, payloads: list[dict[str, Any]]) -> None:
        while True:
            self._orders += 1
            name = f"order-{self._orders}"
            order = {
                "account": self._random.choice(_ACCOUNTS),
                "name": name,
                "units": [
                    {"name": f"{name}-{index}", "payload": payload}
                    for index, payload in enumerate(payloads)
                ],
            }
            try:
                await self._random.choice(self._clients).place(order)
            except (ApiUnreachableError, ClientError):
                # Whether it was placed is not known; the next try has another name.
                self._evidence.unsure[name] = len(payloads)
                await deferLater(self._reactor, 0.3, lambda: None)
            else:
                self._evidence.accepted[name] = len(payloads)
                return
