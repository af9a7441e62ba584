"""For how long something has been as it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Lasting"]


class Lasting:
    """Remembers since when each thing has had its present value.

    :param seconds: a steady clock
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._since: dict[str, tuple[object, float]] = {}

    def of(self, thing: str, value: object) -> float:
        """Return for how many seconds *thing* has been *value*; what is false does not last."""
        if not value:
            self._since.pop(thing, None)
            return 0.0
        known, at = self._since.get(thing, (None, 0.0))
        if known != value:
            at = self._seconds()
            self._since[thing] = (value, at)
        return self._seconds() - at
