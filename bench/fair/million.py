"""A million units through one POST: how fast, and does the API's memory stay flat?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from fair.line import Line
from rtb.client import ClientError, Summary

UNITS = 1_000_000
_PIECE = 5_000


@implementer(IBodyProducer)
class Names:
    """Sends names as they are made; told to, it waits at half."""

    length = UNKNOWN_LENGTH

    def __init__(self, reactor: Any, *, stop_at_half: bool) -> None:
        self._reactor = reactor
        self._pieces = self._made()
        self._stop_at_half = stop_at_half
        self._paused = False
        self._sent = 0
        self.half: Deferred[None] = Deferred()
        self.done: Deferred[None] = Deferred()

    def _made(self) -> Iterator[bytes]:
        for first in range(0, UNITS, _PIECE):
            yield b"".join(b"scene-%d\n" % n for n in range(first, first + _PIECE))

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Begin."""
        self._consumer = consumer
        self._reactor.callLater(0, self._send)
        return self.done

    def _send(self) -> None:
        if self._paused or self.done.called:
            return
        if self._sent >= UNITS // 2 and not self.half.called:
            self.half.callback(None)
            if self._stop_at_half:
                self._paused = True
                return
        piece = next(self._pieces, None)
        if piece is None:
            self.done.callback(None)
            return
        self._sent += _PIECE
        self._consumer.write(piece)
        self._reactor.callLater(0, self._send)

    def go_on(self) -> None:
        """Send the second half."""
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """Wait."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            self._reactor.callLater(0, self._send)

    def stopProducing(self) -> None:
        """End."""
        self._paused = True


async def measure(line: Line) -> dict[str, Any]:
    """Return units per second, the API's memory before and at its most, and what was left."""
    await line.client.place_lines(b"warm\nup\n")
    before = memory(line)
    began = line.reactor.seconds()
    placed = await line.client.place_lines(
        Names(line.reactor, stop_at_half=False), query={"account": "big"}
    )
    seconds = line.reactor.seconds() - began
    assert placed["units"] == UNITS
    most = memory(line)
    left = await cancelled_at_half(line)
    # And the other one while some of it runs.
    await line.client.go()
    await line.until(lambda status: status.units.processing > 0)
    ended = line.reactor.seconds()
    await line.client.change_order(placed["id"], "cancel")
    await line.until(_settled, limit=300)
    left += line.sql("SELECT count(*) FROM flights")[0][0]
    return {
        "units_per_second": round(UNITS / seconds),
        "api_mb_before": round(before, 1),
        "api_mb_most": round(most, 1),
        "left_after_cancel": left,
        "cancel_seconds": round(line.reactor.seconds() - ended, 1),
    }


def _settled(status: Summary) -> bool:
    units = status.units
    return not units.waiting + units.sent + units.queued + units.processing


async def cancelled_at_half(line: Line) -> int:
    """Cancel an order while half of it still loads; return how many units are left, of any."""
    names = Names(line.reactor, stop_at_half=True)
    placing = Deferred.fromCoroutine(line.client.place_lines(names))
    await names.half
    while not (loading := (await line.client.orders(loading=True))["orders"]):
        await line.sleep(0.1)
    await line.client.change_order(loading[0]["id"], "cancel")
    names.go_on()
    try:
        await placing
    except ClientError as refused:
        status = refused.status
    else:
        status = 201
    if status != 409:
        raise SystemExit(f"a cancelled order was placed: {status}")
    query = "SELECT count(*) FROM units WHERE order_id = %s"
    for _ in range(600):
        if not line.sql(query, loading[0]["id"])[0][0]:
            break
        await line.sleep(0.1)
    ((left,),) = line.sql(query, loading[0]["id"])
    ((flying,),) = line.sql("SELECT count(*) FROM flights")
    return int(left + flying)


def memory(line: Line) -> float:
    """Return the most memory that the API had in RAM, in MB."""
    status = Path(f"/proc/{line.pids('rtb-api')[0]}/status").read_text()
    kilobytes = next(row.split()[1] for row in status.splitlines() if row.startswith("VmHWM"))
    return int(kilobytes) / 1024
