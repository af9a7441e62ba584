"""What a role tells systemd: that it is ready, how it is, that it lives, and that it stops.

Datagrams to the socket that ``NOTIFY_SOCKET`` names, as sd_notify(3) describes them; nothing where
there is none.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, MutableMapping
from typing import Any, Self

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.ops.admin import READY, Readiness

__all__ = ["Supervised", "Supervision"]

#: Seconds between two looks at how the role is.
_LOOK = 1.0
#: What a role that still waits for its servers asks for at each look, in seconds: it may wait for
#: long, but one that hangs meanwhile is found out.
_PATIENCE = 30


@attrs.frozen
class Supervision:
    """What systemd gave this process.

    :ivar address: of the socket
    :ivar watchdog: seconds within which it wants a sign of life; 0 for none
    """

    address: str
    watchdog: float

    @classmethod
    def take(cls, environ: MutableMapping[str, str], pid: int) -> Self | None:
        """Return what *environ* has for process *pid*, taken out of it; None if there is nothing.

        Processes that a role starts are not to speak for it.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        micros = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", "") in ("", str(pid))
        if not address:
            return None
        return cls(address, int(micros) / 1e6 if meant and micros.isdecimal() else 0.0)


class Supervised(Service):
    """Keeps systemd informed.

    It is the last of its process's services, so the first that ends; the signs of life go on until
    the process is gone, since what hangs while it drains is to be killed as well.

    :param readiness: what the role needs, and how each of it is
    :param words: says what the role does once all of that is there
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        supervision: Supervision,
        readiness: Readiness,
        words: Callable[[], str],
    ) -> None:
        address = supervision.address
        # An @ stands for the zero byte of an abstract address.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._readiness = readiness
        self._words = words
        self._ready = False
        self._said = ""
        self._refused = False
        self._half = supervision.watchdog / 2
        self._looking = LoopingCall(lambda: Deferred.fromCoroutine(self._look()))
        self._living = LoopingCall(self._send, "WATCHDOG=1")
        self._looking.clock = self._living.clock = reactor

    def startService(self) -> None:
        """Begin to look, and to show that the reactor turns."""
        super().startService()
        self._looking.start(_LOOK).addErrback(self._unexpected)
        if self._half:
            self._living.start(self._half).addErrback(self._unexpected)

    def stopService(self) -> Deferred[None]:
        """Say that it stops."""
        super().stopService()
        if self._looking.running:
            self._looking.stop()
        self._send("STOPPING=1\nSTATUS=finishes what is under way")
        return succeed(None)

    async def _look(self) -> None:
        parts = await self._readiness()
        if not self.running:
            return
        missing = [f"{name}: {state}" for name, state in parts.items() if state != READY]
        status = f"STATUS={' '.join('; '.join(missing).split()) if missing else self._words()}"
        text = status
        if not self._ready:
            text += f"\nEXTEND_TIMEOUT_USEC={_PATIENCE * 1_000_000}" if missing else "\nREADY=1"
        if text != self._said and self._send(text):
            self._ready = self._ready or not missing
            self._said = status

    def _send(self, text: str) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), self._address)
        except OSError as problem:
            # Full, or gone: the next word comes soon.
            if not self._refused:
                self._log.warn("systemd does not hear: {problem}", problem=problem)
            self._refused = True
            return False
        self._refused = False
        return True

    def _unexpected(self, failure: Failure) -> None:
        self._log.failure("what systemd is told ended", failure)
