"""How long settled work is kept."""

from __future__ import annotations

import re

import attrs

__all__ = ["Retention", "read_age", "read_retention"]

_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
#: Less would reach what late words may still be said of.
_LEAST = 3600.0
_MOST = 36500 * 86400.0
_KEEP_ALL = "all"


@attrs.frozen
class Retention:
    """How long an order's units and their history are kept after its last unit settled."""

    #: As people write it.
    text: str
    #: None: for ever.
    seconds: float | None

    def __str__(self) -> str:
        return self.text


def read_age(text: str) -> float:
    """Return the seconds of *text*, such as ``30d``, ``12h`` or ``0s``.

    :raises ValueError: the end of a sentence that begins with what *text* is for
    """
    match = _AGE.match(text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else -1.0
    if not 0 <= seconds <= _MOST:
        raise ValueError(
            "must be a number with s, m, h, d or w behind it, at most 100 years; for example 30d"
        )
    return seconds


def read_retention(text: str) -> Retention:
    """Return what *text* says: ``all``, or an age of an hour at least.

    :raises ValueError: the end of a sentence that begins with the setting's name
    """
    if text.strip().lower() == _KEEP_ALL:
        return Retention(_KEEP_ALL, None)
    try:
        seconds = read_age(text)
    except ValueError as problem:
        raise ValueError(f"{problem}; or {_KEEP_ALL}, to keep everything") from None
    if seconds < _LEAST:
        raise ValueError(f"must be an hour (1h) at least, or {_KEEP_ALL}, to keep everything")
    return Retention(text.strip().lower(), seconds)
