"""A reactor whose timers do not follow the wall clock."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["use_monotonic_clock"]


def use_monotonic_clock(reactor: Any) -> None:
    """Let *reactor* count its time monotonically.

    Twisted's own count is ``time.time``: when somebody sets the machine's clock back by an hour,
    every timer sleeps for an hour. Calls that already wait keep their distance: all of them move
    by the same offset, so the order in the reactor's heap stays.
    """
    if reactor.seconds is time.monotonic:
        return
    offset = time.monotonic() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        call.time += offset
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic
