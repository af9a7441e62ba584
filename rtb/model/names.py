"""Names and identities: what a box or a workload may be called; ids of process lives."""

from __future__ import annotations

import re
from collections.abc import Callable

from rtb.errors import RtbError

__all__ = ["BadNameError", "check_account", "check_box", "check_workload", "new_incarnation"]

_LABEL = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
#: Queues of rtb's own: a box may not be called like one of them.
_RESERVED_BOXES = frozenset({"dead", "inbox", "track"})
_ACCOUNT_MAX = 200


class BadNameError(RtbError):
    """A name that rtb does not take; the message says what is allowed."""


def check_box(name: str) -> str:
    """Return *name* if a box may be called so.

    :raises BadNameError: otherwise
    """
    if not _LABEL.match(name) or name in _RESERVED_BOXES:
        raise BadNameError(
            f"{name[:80]!r} is no name for a box: use a-z, 0-9 and '-', beginning with a letter, "
            "at most 63 characters, and none of inbox, dead, track"
        )
    return name


def check_workload(name: str) -> str:
    """Return *name* if a workload may be called so.

    :raises BadNameError: otherwise
    """
    if not _LABEL.match(name):
        raise BadNameError(
            f"{name[:80]!r} is no name for a workload: use a-z, 0-9 and '-', "
            "beginning with a letter, at most 63 characters"
        )
    return name


def check_account(name: str) -> str:
    """Return *name* if an account may be called so: 1 to 200 printable characters.

    :raises BadNameError: otherwise
    """
    if not 0 < len(name) <= _ACCOUNT_MAX or not name.isprintable() or name != name.strip():
        raise BadNameError(
            f"{name[:80]!r} is no name for an account: use 1 to {_ACCOUNT_MAX} printable "
            "characters without space at either end"
        )
    return name


def new_incarnation(random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh id for one process life of a leader, an agent or an API: 24 hex digits."""
    return random_bytes(12).hex()
