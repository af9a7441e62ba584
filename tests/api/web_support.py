"""A desk that records what it is asked, and clients that speak HTTP as it should not be spoken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import Agent

from rtb.api.live.watcher import blank
from rtb.errors import RtbError
from rtb.model.orders import NewOrder

NDJSON = {"Accept": "application/x-ndjson"}


class AwayError(RtbError):
    """Away: host=/secret/path SELECT 1."""

    retryable = True


@attrs.frozen
class Page:
    items: list[dict[str, Any]]
    cursor: int | None


class RecordingLoad:
    """Keeps the pieces; answers when it is told to."""

    def __init__(self, hold_back: Any, refuse: Any) -> None:
        self.hold_back = hold_back
        self.refuse = refuse
        self.pieces: list[bytes] = []
        self.arrived: Deferred[None] = Deferred()
        self.aborted: Deferred[None] = Deferred()

    def feed(self, data: bytes) -> None:
        self.pieces.append(data)
        if not self.arrived.called:
            self.arrived.callback(None)

    def abort(self) -> None:
        if not self.aborted.called:
            self.aborted.callback(None)

    async def end(self) -> dict[str, Any]:
        return {"id": 8, "units": len(b"".join(self.pieces).split()), "going": True}


class RecordingDesk:
    """Answers at once unless an answer is prepared; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.keys: list[tuple[str | None, str]] = []
        self.loads: list[RecordingLoad] = []
        self.prepared: dict[str, Any] = {}
        self.readiness: Mapping[str, str] = {"ledger": "ready", "broker": "ready"}

    async def ready(self) -> Mapping[str, str]:
        return self.readiness

    async def _answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        prepared = self.prepared.get(asked[0])
        if isinstance(prepared, Exception):
            raise prepared
        return await prepared if isinstance(prepared, Deferred) else prepared

    async def summary(self) -> Any:
        return await self._answer("summary")

    async def next_units(self, limit: int) -> Any:
        return await self._answer("next_units", limit)

    async def set_going(self, going: bool) -> Any:
        return await self._answer("set_going", going) or {"going": going}

    async def place(self, order: NewOrder, key: str | None, fingerprint: str) -> Any:
        self.keys.append((key, fingerprint))
        return await self._answer("place", order) or {"id": 7, "going": True, "units": 1}

    def load(self, order: NewOrder, kind: str, **how: Any) -> Any:
        self.asked.append(("load", order, kind, how["atomic"], how["key"]))
        prepared = self.prepared.get("load")
        if isinstance(prepared, Exception):
            raise prepared
        self.loads.append(RecordingLoad(how["hold_back"], how["refuse"]))
        return self.loads[-1]

    async def change_order(self, order: int, verb: str, why: str, priority: int) -> Any:
        return await self._answer("change_order", order, verb, why, priority)

    async def count_units(self, order: int, verb: str, chosen: Any) -> Any:
        return await self._answer("count_units", order, verb, chosen)

    async def change_units(
        self, order: int, verb: str, chosen: Any, units: int, why: str, priority: int
    ) -> Any:
        return await self._answer("change_units", order, verb, chosen, units, why, priority)

    async def set_account(self, *asked: Any) -> Any:
        return await self._answer("set_account", *asked)

    async def fair(self) -> Any:
        return await self._answer("fair")

    async def forecast(self, order: int) -> Any:
        return await self._answer("forecast", order)

    async def orders(self, limit: int, cursor: int | None, **wanted: Any) -> Any:
        more = (wanted,) if any(wanted.values()) else ()
        return await self._answer("orders", limit, cursor, *more) or Page([], None)

    async def order(self, order: int) -> Any:
        return await self._answer("order", order)

    async def units(self, order: int, status: str | None, limit: int, cursor: int | None) -> Any:
        return await self._answer("units", order, status, limit, cursor)

    async def all_units(
        self, order: int, status: str | None
    ) -> AsyncIterator[list[dict[str, Any]]]:
        self.asked.append(("all_units", order, status))
        try:
            for batch in self.prepared["all_units"]:
                if isinstance(batch, Exception):
                    raise batch
                self.asked.append(("batch",))
                yield await batch if isinstance(batch, Deferred) else batch
        finally:
            self.asked.append(("closed",))
            closed = self.prepared.pop("closed", None)
            if closed is not None:
                closed.callback(None)

    async def unit(self, unit: int) -> Any:
        return await self._answer("unit", unit)

    async def agents(self) -> Any:
        return await self._answer("agents")

    async def drain(self, agent: str) -> Any:
        return await self._answer("drain", agent)

    async def forget_leader(self, box: str) -> Any:
        return await self._answer("forget_leader", box)


class StillLife:
    """A live feed in which nothing moves: the picture of an empty ledger."""

    watching = 0

    async def join(self, viewer: Any, last: str) -> None:
        self.watching += 1
        viewer.send("hello", b"event: hello\ndata: {}\n\n")

    def leave(self, viewer: Any) -> None:
        self.watching -= 1

    async def picture(self) -> dict[str, Any]:
        return {**blank(), "at": 0, "parts": {}, "attention": [], "lanes": {}}

    async def trace(self, window: str) -> dict[str, Any]:
        return {"t": []}

    def coalesced(self) -> None:
        pass

    async def until_done(self, order: int, seconds: float) -> None:
        pass


class NoMetrics:
    """Counts nothing."""

    def answered(self, method: str, route: str, code: int, seconds: float) -> None:
        pass

    async def scrape(self) -> bytes:
        return b""


@attrs.frozen
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.body.endswith(b"\n")
        return json.loads(self.body)

    def is_problem(self, status: int) -> bool:
        kind = self.headers["content-type"]
        return (self.status, kind, self.json["status"]) == (
            status,
            "application/problem+json",
            status,
        )


class Raw(Protocol):
    """Sends bytes as they are; keeps what comes back."""

    def __init__(self) -> None:
        self.received = b""
        self.ended: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.ended.callback(self.received)


@attrs.frozen
class Web:
    """A site on a loopback port, and the desk behind it."""

    reactor: Any
    desk: RecordingDesk
    port: int

    async def ask(self, method: str, path: str, **options: Any) -> Said:
        client = HTTPClient(Agent(self.reactor))
        url = f"http://127.0.0.1:{self.port}{path}"
        response = await client.request(method, url, **options)
        headers = {
            name.decode().lower(): b",".join(values).decode()
            for name, values in response.headers.getAllRawHeaders()
        }
        if isinstance(response.length, int):
            headers["content-length"] = str(response.length)
        return Said(response.code, headers, await treq.content(response))

    async def connect(self) -> Raw:
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port)
        raw: Raw = await connectProtocol(endpoint, Raw())
        return raw

    async def raw(self, request: bytes) -> Said:
        connection = await self.connect()
        connection.transport.write(request)
        return parse(await connection.ended)


def parse(answer: bytes) -> Said:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        assert name.lower() not in headers, f"{name} is there twice"
        headers[name.lower()] = value
    return Said(int(status.split()[1]), headers, body)
