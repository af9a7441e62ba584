"""The live feed: a picture at most twice a second, and only when something is different.

Each frame is encoded once and written to all who watch. Nobody watches: nothing is looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.api.live.frames import PING, encode, frame, stamped
from rtb.api.live.trace import WINDOWS, trace
from rtb.api.live.waits import Waits
from rtb.api.live.watcher import Watcher
from rtb.errors import RtbError
from rtb.ledger import PageReads
from rtb.pulse import Pulse

__all__ = ["Feed", "Viewer"]

#: Seconds between two pictures, between two looks for what other APIs did, and after which a
#: picture is made in any case.
_EVERY = 0.5
_TICK = 1.0
_LOOK_ANYWAY = 5
#: Ticks between two signs of life, two comments for proxies, and two samples.
_BEAT, _PING, _SAMPLE = 5, 15, 5
#: Seconds that a viewer may read nothing.
_PATIENCE = 30.0
#: Orders whose units are looked at after each picture, for those who watch them.
_WATCHED = 20
#: Seconds that a trace is shown to everybody, by window.
_TRACE_FRESH = {"5m": 2.0, "1h": 10.0, "24h": 60.0}


class Viewer(Protocol):
    """Somebody who watches."""

    #: The order whose units they see, if any.
    order: int | None

    def send(self, kind: str, frame: bytes) -> None:
        """Write *frame*; one that waits for room gives way to a newer one of its *kind*."""

    def stalled(self, now: float) -> float:
        """Return for how many seconds nothing could be written."""

    def drop(self) -> None:
        """Cut them off."""

    def end(self) -> None:
        """End the stream in good order."""


class Feed(Service):
    """Watches for everybody.

    :param mark: names this life of the API, so that a frame's id means one frame
    :param version: of rtb, which the page compares with its own
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        reads: PageReads,
        watcher: Watcher,
        waits: Waits,
        wall: Callable[[], float],
        *,
        mark: str,
        version: str,
    ) -> None:
        self._reactor = reactor
        self._reads = reads
        self._watcher = watcher
        self._wall = wall
        self._mark = mark
        self._version = version
        self._waits = waits
        self.viewers: set[Viewer] = set()
        self.frames_coalesced = 0
        self._pulse = Pulse(self._work, self._failed)
        self._timer: IDelayedCall | None = None
        self._clock = LoopingCall(self._tick)
        self._clock.clock = reactor
        self._ticks = 0
        self._looked_at = -_LOOK_ANYWAY * 1.0
        self._seen: object = None
        self._stale = True
        self._unsampled = True
        self._sequence = 0
        self._body = b""
        self._frame = b""
        self._units: dict[int, bytes] = {}
        self._traces: dict[str, tuple[float, dict[str, Any]]] = {}
        self._asking: list[Deferred[None]] = []

    # ---- life

    def startService(self) -> None:
        """Begin to watch for what other APIs do."""
        super().startService()
        self._clock.start(_TICK, now=False)

    async def stopService(self) -> None:
        """Say goodbye to everybody."""
        super().stopService()
        if self._clock.running:
            self._clock.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        goodbye = frame("bye", b'{"why":"this API ends"}')
        for viewer in list(self.viewers):
            viewer.send("bye", goodbye)
            viewer.end()
        self.viewers.clear()
        await self._pulse.stop()
        self._answer()

    def kick(self) -> None:
        """Something was committed."""
        self._stale = self._unsampled = True
        if self.viewers:
            self._soon()

    # ---- viewers

    @property
    def watching(self) -> int:
        """How many watch."""
        return len(self.viewers)

    def coalesced(self) -> None:
        """A frame gave way to a newer one: somebody does not keep up."""
        self.frames_coalesced += 1

    def until_done(self, order: int, seconds: float) -> Deferred[None]:
        """Fire when *order* has come to its end, or after *seconds*."""
        return self._waits.until_done(order, seconds)

    async def join(self, viewer: Viewer, last: str) -> None:
        """Send everything to *viewer* from now on; *last* is the last frame that they have."""
        await self._fresh()
        hello = {"version": self._version, "at": self._now()}
        viewer.send("hello", frame("hello", msgspec.json.encode(hello)))
        if last != self._identity:
            viewer.send("snapshot", self._frame)
        self.viewers.add(viewer)
        if viewer.order is not None:
            await self._send_units({viewer.order: [viewer]}, again=True)

    def leave(self, viewer: Viewer) -> None:
        """Send nothing more to *viewer*."""
        self.viewers.discard(viewer)

    async def picture(self) -> dict[str, Any]:
        """Return what the feed shows now; with the lanes and the trace that viewers add to."""
        await self._fresh()
        picture: dict[str, Any] = msgspec.json.decode(stamped(self._body, self._now()))
        picture["id"] = self._identity
        picture["lanes"] = self._watcher.lanes()
        return picture

    async def trace(self, window: str) -> dict[str, Any]:
        """Return the rates of the past *window*."""
        known = self._traces.get(window)
        now = self._reactor.seconds()
        if known is None or now - known[0] > _TRACE_FRESH[window]:
            seconds, step = WINDOWS[window]
            samples = await self._reads.samples(seconds, step)
            known = self._traces[window] = (now, trace(samples, self._wall(), seconds, step))
        return known[1]

    # ---- looking

    def _now(self) -> int:
        return round(self._wall() * 1000)

    @property
    def _identity(self) -> str:
        return f"{self._mark}-{self._sequence}"

    def _fresh(self) -> Deferred[None]:
        """Fire when there is a picture of at most half a second ago."""
        age = self._reactor.seconds() - self._looked_at
        if self._body and (age < _EVERY or (not self._stale and age < _LOOK_ANYWAY)):
            return succeed(None)
        asked: Deferred[None] = Deferred()
        self._asking.append(asked)
        self._pulse.kick()
        return asked

    def _answer(self) -> None:
        asking, self._asking = self._asking, []
        for asked in asking:
            asked.callback(None)

    def _soon(self) -> None:
        if not self.running or (self._timer is not None and self._timer.active()):
            return
        wait = self._looked_at + _EVERY - self._reactor.seconds()
        self._timer = self._reactor.callLater(max(0.0, wait), self._pulse.kick)

    async def _work(self) -> None:
        self._looked_at = self._reactor.seconds()
        self._stale = False
        try:
            picture = await self._watcher.look()
            body = encode(picture)
            changed = body != self._body
            if changed:
                self._sequence += 1
                self._body = body
            # Made anew even so: whoever comes next is told when it was true.
            data = stamped(self._body, self._now())
            self._frame = frame("snapshot", data, self._identity)
            if changed:
                for viewer in list(self.viewers):
                    viewer.send("snapshot", self._frame)
            await self._send_units(self._watched(), again=False)
        finally:
            self._answer()

    def _watched(self) -> dict[int, list[Viewer]]:
        watched: dict[int, list[Viewer]] = defaultdict(list)
        for viewer in self.viewers:
            if viewer.order is not None:
                watched[viewer.order].append(viewer)
        self._units = {order: self._units[order] for order in watched if order in self._units}
        return dict(sorted(watched.items(), key=lambda item: -len(item[1]))[:_WATCHED])

    async def _send_units(self, watched: dict[int, list[Viewer]], *, again: bool) -> None:
        for order, viewers in watched.items():
            try:
                units = await self._reads.units(order)
            except RtbError:
                return  # the picture says that the ledger is away
            body = msgspec.json.encode(units)
            if again or body != self._units.get(order):
                self._units[order] = body
                for viewer in viewers:
                    viewer.send("units", frame("units", body))

    # ---- the clock

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks % _SAMPLE == 0 and self._unsampled:
            self._unsampled = False
            Deferred.fromCoroutine(self._reads.sample()).addErrback(self._unsaid)
        if not self.viewers:
            return
        self._drop_the_stalled()
        if self._ticks % _BEAT == 0:
            self._beat()
        if self._reactor.seconds() - self._looked_at >= _LOOK_ANYWAY:
            self._soon()
        else:
            Deferred.fromCoroutine(self._look_for_change()).addErrback(self._unsaid)

    async def _look_for_change(self) -> None:
        mark = (self._watcher.parts(), await self._reads.mark())
        if mark != self._seen:
            self._seen = mark
            self.kick()

    def _beat(self) -> None:
        beat = frame("beat", b'{"at":%d}' % self._now())
        if self._ticks % _PING == 0:
            beat += PING
        for viewer in list(self.viewers):
            viewer.send("beat", beat)

    def _drop_the_stalled(self) -> None:
        now = self._reactor.seconds()
        for viewer in [one for one in self.viewers if one.stalled(now) > _PATIENCE]:
            self._log.info("a viewer that reads nothing is cut off")
            self.viewers.discard(viewer)
            viewer.drop()

    # ---- failures

    def _unsaid(self, failure: Failure) -> None:
        if failure.check(RtbError) is None:
            self._log.failure("looking for changes failed", failure)
        else:
            # The picture shall say that the ledger is away.
            self._seen = None
            self._soon()

    def _failed(self, failure: Failure) -> None:
        self._log.failure("a picture failed", failure)
