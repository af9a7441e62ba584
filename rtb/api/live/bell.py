"""Tells whoever wants to know that something was committed."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Bell"]


class Bell:
    """Rung after every commit of this API."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call *listener* at every ring."""
        self._listeners.append(listener)

    def ring(self) -> None:
        """Something was committed."""
        for listener in self._listeners:
            listener()
