"""Makes wire messages into publishable ones: the delivery column of the protocol's table."""

from __future__ import annotations

from itertools import count

from rtb.broker.messages import Outgoing, dead_letter
from rtb.model import wire

__all__ = ["Post"]


class Post:
    """Addresses messages, and numbers them.

    :param sender: names the process life, so that message ids are unique among all
    """

    def __init__(self, sender: str) -> None:
        self._sender = sender
        self._numbers = count(1)

    def out(self, message: wire.Out) -> Outgoing:
        """To the leader of a box: persistent, and returned when there is no such queue."""
        return self._make(f"out.{message.box}", message, persistent=True, mandatory=True)

    def status(self, message: wire.Status | wire.Report) -> Outgoing:
        """To the inbox: persistent, but for what a leader says again at once if the broker fell.

        Units wait for the confirm of a report that names them, and a disk makes that slow. Who
        leads leads anew after a fall of the broker, with a report of everything.
        """
        if isinstance(message, wire.Report):
            lasting = message.first or message.gone or not message.ledger
            return self._make("status.queued", message, persistent=lasting, mandatory=True)
        return self._make(f"status.{message.kind}", message, persistent=True, mandatory=True)

    def barrier(self, message: wire.Barrier) -> Outgoing:
        """To the inbox, behind all that was said before."""
        return self._make("barrier", message, persistent=True, mandatory=True)

    def track(self, message: wire.Track) -> Outgoing:
        """To whoever leads the box; said again soon, so it may be lost."""
        return self._make(f"track.{message.box}", message, persistent=False, mandatory=False)

    def roll(self, message: wire.Roll) -> Outgoing:
        """To all agents of the box; said again soon, so it may be lost."""
        return self._make(f"roll.{message.box}", message, persistent=False, mandatory=False)

    def control(self, message: wire.Control) -> Outgoing:
        """To the leader and all agents of the box; said again soon, so it may be lost."""
        return self._make(f"control.{message.box}", message, persistent=False, mandatory=False)

    def work(self, agent: str, message: wire.Work) -> Outgoing:
        """To one agent; returned when its queue has gone with its connection."""
        return self._make(f"work.{agent}", message, persistent=False, mandatory=True)

    def dead(self, routing_key: str, body: bytes, reason: str, who: str) -> Outgoing:
        """To the dead letters: what came by *routing_key*, and why nobody could use it."""
        return dead_letter(routing_key, body, reason, who, message_id=self._next_id())

    def _make(
        self, routing_key: str, message: wire.Message, *, persistent: bool, mandatory: bool
    ) -> Outgoing:
        return Outgoing(
            routing_key=routing_key,
            body=wire.encode(message),
            message_id=self._next_id(),
            persistent=persistent,
            mandatory=mandatory,
        )

    def _next_id(self) -> str:
        return f"{self._sender}:{next(self._numbers)}"
