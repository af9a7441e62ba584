"""The root of rtb's own exceptions.

Each package defines its own below these; no exception of pika or psycopg2 leaves its package.
"""

from __future__ import annotations

__all__ = ["ConfigurationError", "RtbError"]


class RtbError(Exception):
    """Something in rtb went wrong."""

    #: May the same call succeed later without anybody changing anything?
    retryable = False

    def __str__(self) -> str:
        return super().__str__() or (self.__doc__ or "").strip().splitlines()[0]


class ConfigurationError(RtbError):
    """A setting has a value that rtb cannot use; the message names the variable and what to do."""
