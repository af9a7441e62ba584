"""The live feed on a real ledger, over real connections."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.task import deferLater
from web_support import Raw, RecordingDesk, Web

from rtb.api.live.bell import Bell
from rtb.api.live.service import Live
from rtb.ledger import Books, Reads
from rtb.model.orders import NewOrder, NewUnit


@attrs.frozen
class Event:
    kind: str
    id: str
    data: Any


class Stream:
    """An event stream, read as it comes."""

    def __init__(self, reactor: Any, raw: Raw) -> None:
        self._reactor = reactor
        self.raw = raw

    @property
    def text(self) -> str:
        _, _, body = self.raw.received.partition(b"\r\n\r\n")
        text, rest = b"", body
        while rest:  # chunks
            size, _, rest = rest.partition(b"\r\n")
            length = int(size or b"0", 16)
            text, rest = text + rest[:length], rest[length + 2 :]
        return text.decode(errors="replace")

    @property
    def events(self) -> list[Event]:
        events = []
        for block in self.text.split("\n\n")[:-1]:
            lines = [line.partition(": ") for line in block.split("\n")]
            fields = {name: value for name, _, value in lines}
            if "event" in fields:
                data = json.loads(fields["data"])
                events.append(Event(fields["event"], fields.get("id", ""), data))
        return events

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    async def until(self, what: Callable[[], Any], limit: float = 60.0) -> Any:
        end = self._reactor.seconds() + limit
        while not (found := what()):
            assert self._reactor.seconds() < end, self.text[-3000:]
            await deferLater(self._reactor, 0.02, lambda: None)
        return found


class LedgerDesk(RecordingDesk):
    """Answers about orders and the whole from the ledger."""

    def __init__(self, reads: Reads) -> None:
        super().__init__()
        self._reads = reads

    async def summary(self) -> Any:
        return await self._reads.summary()

    async def order(self, order: int) -> Any:
        return await self._reads.order(order)


class StillDepths:
    """What would be asked of RabbitMQ, as a test sets it."""

    def __init__(self) -> None:
        self.known = {"inbox": 0, "dead": 0}
        self.redelivered = 0

    def kick(self, boxes: Any) -> None:
        pass


@attrs.frozen
class LiveWeb:
    """A site whose feed is real."""

    web: Web
    live: Live
    bell: Bell
    books: Books
    reads: Reads
    parts: dict[str, str]
    metrics: Any
    depths: StillDepths

    async def watch(self, path: str = "/events", **headers: str) -> Stream:
        raw = await self.web.connect()
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        raw.transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return Stream(self.web.reactor, raw)

    async def place(self, *names: str, account: str = "ada", name: str | None = None) -> int:
        units = [NewUnit(unit) for unit in names]
        answer = await self.books.place(NewOrder(account=account, name=name, units=units))
        self.bell.ring()
        return int(answer["id"])
