"""Workloads that need nothing: the coin flip and the one that does nothing."""

from __future__ import annotations

import random
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall

from rtb.agent.workloads.contract import (
    Already,
    Failed,
    Outcome,
    Running,
    Stopped,
    Succeeded,
    timed_out,
)
from rtb.model import wire

__all__ = ["CoinFlip", "NoOp"]

_SIDES = (Succeeded(b'{"coin":"heads"}'), Succeeded(b'{"coin":"tails"}'))
_EDGE = Failed("the coin landed on its edge", "", permanent=True)
_NOTHING = Already(Succeeded(b"null"))


@frozen
class NoOp:
    """Each unit succeeds at once, with the result ``null``."""

    def start(self, unit: wire.Unit) -> Running:
        """Succeed."""
        return _NOTHING

    def close(self) -> Deferred[None]:
        """Nothing is kept."""
        return succeed(None)


@frozen
class CoinFlip:
    """Each unit takes about *seconds* and fails, for good, in the ratio *error*."""

    reactor: Any
    random: random.Random
    error: float = 0.1
    seconds: float = 0.2

    def start(self, unit: wire.Unit) -> Running:
        """Flip the coin; without *seconds* it has landed when this returns."""
        outcome = self._flip()
        if not self.seconds:
            return Already(outcome)
        air = self.seconds * (0.5 + self.random.random())
        if unit.limit is not None and unit.limit < air:
            air, outcome = unit.limit, timed_out(unit.limit, "")
        return _InTheAir(self.reactor, air, outcome)

    def _flip(self) -> Outcome:
        if self.random.random() < self.error:
            return _EDGE
        return _SIDES[self.random.random() < 0.5]

    def close(self) -> Deferred[None]:
        """Nothing is kept."""
        return succeed(None)


@define(eq=False)
class _InTheAir:
    reactor: Any
    air: float
    outcome: Outcome
    done: Deferred[Outcome] = field(factory=Deferred, init=False)
    _lands: IDelayedCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lands = self.reactor.callLater(self.air, lambda: self.done.callback(self.outcome))

    def stop(self, grace: float = 0.0) -> None:
        """Catch the coin."""
        if self._lands.active():
            self._lands.cancel()
            self.done.callback(Stopped())
