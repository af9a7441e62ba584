"""Looks at the ledger, and keeps what only several looks together tell: rates, lanes, trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rtb.api.depths import Depths
from rtb.api.live.attention import attention
from rtb.api.live.bottleneck import Peaks, bottleneck
from rtb.api.live.lanes import Lanes
from rtb.api.live.picture import ORDERS, TICKS, flow, paint
from rtb.api.live.rates import OrderRates, Rates
from rtb.broker.topology import DEAD, INBOX
from rtb.errors import RtbError
from rtb.ledger import Glance, PageReads, Trouble

__all__ = ["Watcher", "blank"]

#: Seconds between two looks for trouble, and between two looks at what runs while that is much.
_TROUBLE_EVERY = 5.0
_IN_FLIGHT = 2000
_NEWS = 100
_BAD = frozenset({"error", "failed", "lost"})


class Watcher:
    """Makes pictures.

    :param seconds: a clock that never jumps; *wall* is the one of people
    :param lost_after: seconds of silence after which an agent counts as lost
    """

    def __init__(
        self,
        reads: PageReads,
        readiness: Callable[[], Mapping[str, str]],
        depths: Depths,
        seconds: Callable[[], float],
        wall: Callable[[], float],
        lost_after: float,
    ) -> None:
        self._reads = reads
        self._readiness = readiness
        self._depths = depths
        self._seconds = seconds
        self._wall = wall
        self._lost_after = lost_after
        self._rates = Rates()
        self._orders = OrderRates()
        self._lanes = Lanes()
        self._peaks = Peaks()
        self._trouble: Trouble | None = None
        self._trouble_at = -_TROUBLE_EVERY
        self._last_event = 0
        self._ticker: list[Any] = []
        self._primed = False
        self._painted: dict[str, Any] | None = None

    async def look(self) -> dict[str, Any]:
        """Return a new picture; the last one, marked, while the ledger is away. Never fails so."""
        problem = ""
        try:
            await self._look()
        except RtbError as error:
            problem = str(error)
        painted = self._painted or blank()
        parts = dict(self._readiness())
        if problem and parts.get("ledger") == "ready":
            parts["ledger"] = problem
        return {
            **painted,
            "parts": parts,
            "fresh": not problem,
            "attention": attention(painted, parts, self._trouble, self._wall()),
        }

    def parts(self) -> Mapping[str, str]:
        """Return how each thing is that the API needs."""
        return self._readiness()

    def lanes(self) -> dict[str, str]:
        """Return how busy each agent was in the last minute."""
        return self._lanes.read(self._wall())

    async def _look(self) -> None:
        if not self._primed:
            await self._prime()
        glance = await self._reads.glance(
            after=self._last_event, news=_NEWS, orders=ORDERS, in_flight=_IN_FLIGHT
        )
        if self._seconds() - self._trouble_at >= _TROUBLE_EVERY:
            self._trouble = await self._reads.trouble()
            self._trouble_at = self._seconds()
        painted = paint(glance, self._lost_after)
        painted["queues"] = self._queues(painted)
        self._limit(painted)
        self._note_rates(painted)
        self._note_lanes(painted, glance)
        self._ticker = (self._ticker + painted["ticker"])[-TICKS:]
        painted["ticker"] = self._ticker
        self._last_event = glance.news[-1][0] if glance.news else self._last_event
        self._painted = painted

    async def _prime(self) -> None:
        """Begin with the rates that an earlier life, or another API, saw."""
        offset = self._seconds() - self._wall()
        for at, _, held, processing, *settled, _ in await self._reads.samples(60, 5):
            counts = (sum(settled), settled[0], settled[1], held + processing + sum(settled))
            self._rates.add(at + offset, counts)
        self._primed = True

    def _queues(self, painted: Mapping[str, Any]) -> dict[str, int]:
        """Return what waits in RabbitMQ, as it was seen last, and have it looked at again."""
        boxes = [box["box"] for box in painted["boxes"]]
        self._depths.kick(boxes)
        known = self._depths.known
        return {
            "out": sum(known.get(box, 0) for box in boxes),
            "in": known[INBOX],
            "dead": known[DEAD],
            "again": self._depths.redelivered,
        }

    def _limit(self, painted: dict[str, Any]) -> None:
        limit = bottleneck(self._peaks.of(flow(painted), self._seconds()))
        painted["limit"] = {"what": limit.what, "why": limit.why}

    def _note_rates(self, painted: dict[str, Any]) -> None:
        units = painted["units"]
        settled = units["success"] + units["error"] + units["cancelled"]
        counts = (settled, units["success"], units["error"], units["total"] - units["waiting"])
        self._rates.add(self._seconds(), counts)
        rates = self._rates.read()
        names = ("settled", "success", "error", "taken")
        painted["rate"] = _rounded(dict(zip(names, rates, strict=True))) if rates else None
        painted["eta"] = _eta(units["total"] - settled, rates[0] if rates else None)
        orders = painted["orders"]
        done = {order["id"]: sum(order["units"][4:]) for order in orders}
        self._orders.add(self._seconds(), done)
        for order in orders:
            rate = self._orders.read(order["id"]) if order["finished"] is None else None
            order["rate"] = None if rate is None else round(rate, 2)
            order["eta"] = _eta(sum(order["units"][:4]), rate)

    def _note_lanes(self, painted: dict[str, Any], glance: Glance) -> None:
        levels = {
            agent["id"]: agent["busy"] / max(1, agent["slots"]) for agent in painted["agents"]
        }
        erred = frozenset(row[5].rpartition("/")[2] for row in glance.news if row[4] in _BAD)
        self._lanes.look(self._wall(), levels, erred if self._last_event else frozenset())


def _rounded(rates: dict[str, float]) -> dict[str, float]:
    return {name: round(rate, 2) for name, rate in rates.items()}


def _eta(left: int, rate: float | None) -> int | None:
    if not left:
        return 0
    return round(left / rate) if rate and rate > 0.001 else None


def blank() -> dict[str, Any]:
    """Return the picture of which nothing is known."""
    return {
        **paint(Glance(False, (0,) * 7, [], [], [], [], []), 0.0),
        "limit": {"what": "nothing", "why": "nothing is known yet"},
        "queues": {"out": 0, "in": 0, "dead": 0, "again": 0},
        "rate": None,
        "eta": None,
    }
