"""Asks every API ten times a second how things are, and keeps what it said."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure
from twisted.web.client import Agent, readBody

from rtb.chaos.evidence import Answer
from rtb.chaos.slot import Slot

__all__ = ["Sampler"]

_EVERY = 0.1
#: Every so many samples it asks for this path instead of the summary.
_OTHERS = {3: "/readyz", 7: "/livez"}
_TURN = 10
#: What is not answered after this long is a hang.
_LIMIT = 8.0
#: So many seconds before an answer may have been too few to notice what happened in them.
_LATELY = 6.0
#: After a failure, so long for the end of the process to be noted, before it is held against it.
_EXCUSE = 0.5


def _starved(pid: int | None) -> float:
    """Return the seconds for which the machine had no processor for *pid*, or for this process.

    A busy machine makes everything late, which says nothing of the API. Linux keeps the account.
    """
    total = 0.0
    for process in ("self", pid):
        with suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    return total


class Sampler:
    """Watches the API of one slot, at *port*."""

    def __init__(self, reactor: Any, slot: Slot, port: int, answers: list[Answer]) -> None:
        self._reactor = reactor
        self.slot = slot
        self._base = f"http://127.0.0.1:{port}"
        self._agent = Agent(reactor, connectTimeout=_LIMIT)
        self._answers = answers
        self._count = 0
        self._asking = 0
        #: The life that answered last, and when it did so first: before, it was starting.
        self._awake = 0
        self._awake_at = 0.0
        self._clock = LoopingCall(self._sample)
        self._clock.clock = reactor
        #: At its samples: when, of which process, and for how long that had starved by then.
        self._starved: deque[tuple[float, int | None, float]] = deque(maxlen=100)
        #: Units settled, as last shown, and when that last grew.
        self.settled = 0
        self.grew: list[tuple[float, int]] = []

    def start(self) -> None:
        """Begin."""
        self._clock.start(_EVERY)

    def stop(self) -> None:
        """End."""
        if self._clock.running:
            self._clock.stop()

    def _sample(self) -> None:
        if self._asking >= 5:
            return
        self._count += 1
        path = _OTHERS.get(self._count % _TURN, "/")
        asking = Deferred.fromCoroutine(self._ask(path))
        asking.addErrback(self._failed, path, self._reactor.seconds(), self.slot.generation)

    async def _ask(self, path: str) -> None:
        began, life = self._reactor.seconds(), self.slot.generation
        pid = self.slot.pid
        starved = _starved(pid)
        self._starved.append((began, pid, starved))
        self._asking += 1
        try:
            asking = self._exchange(path)
            code, retry, body = await Deferred.fromCoroutine(asking).addTimeout(
                _LIMIT, self._reactor
            )
        finally:
            self._asking -= 1
        took = self._reactor.seconds() - began
        took = max(0.0, took - max(0.0, _starved(pid) - starved))
        if life != self._awake:
            self._awake, self._awake_at = life, self._reactor.seconds()
        late = took > 2.0 and not self.slot.lived_through(life, began)
        answer = Answer(began, self.slot.name, path, 0.0 if late else took, code, retry)
        self._note(attrs.evolve(answer, starved=self._starved_lately(pid)), body)

    def _starved_lately(self, pid: int | None) -> float:
        now = self._reactor.seconds()
        before = [total for at, of, total in self._starved if of == pid and now - at < _LATELY]
        return max(0.0, _starved(pid) - before[0]) if before else 0.0

    async def _exchange(self, path: str) -> tuple[int, bool, bytes]:
        response = await self._agent.request(b"GET", f"{self._base}{path}".encode())
        body = await readBody(response)
        return response.code, response.headers.hasHeader(b"retry-after"), body

    def _note(self, answer: Answer, body: bytes) -> None:
        if not self._clock.running:
            return  # asked before it was told to stop, answered by an API that stops
        if answer.code == 200 and answer.path == "/":
            said = msgspec.json.decode(body)
            units = said["units"]
            leaders = tuple(
                (leader["box"], leader["queued"], leader["capacity"]) for leader in said["leaders"]
            )
            answer = attrs.evolve(answer, retry_after=False, units=units, leaders=leaders)
            settled = units["success"] + units["error"] + units["cancelled"]
            if settled > self.settled:
                self.settled = settled
                self.grew.append((self._reactor.seconds(), settled))
        self._answers.append(answer)

    def _failed(self, failure: Failure, path: str, began: float, life: int) -> Deferred[None]:
        took = self._reactor.seconds() - began
        return Deferred.fromCoroutine(self._judge(failure, path, began, life, took))

    async def _judge(
        self, failure: Failure, path: str, began: float, life: int, took: float
    ) -> None:
        await deferLater(self._reactor, _EXCUSE, lambda: None)
        if (
            self._awake != life
            or began < self._awake_at
            or not self.slot.lived_through(life, began)
        ):
            return
        why = failure.getErrorMessage()
        self._answers.append(Answer(began, self.slot.name, path, took, None, why=why))
