"""One row of the table of settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["Setting"]


@attrs.frozen(kw_only=True)
class Setting:
    """One row of the table."""

    #: The environment variable.
    name: str
    #: The attribute of :class:`Settings`; two rows may feed one, then the earlier row wins.
    attribute: str
    flag: str
    #: The default, as text; empty where it is made from something else, then ``default_says``.
    default: str = ""
    default_says: str = ""
    parse: Callable[[str], Any]
    roles: frozenset[str]
    help: str
    #: Never shown, never taken from a flag (which every user of the machine can read), and taken
    #: from a file as well.
    secret: bool = False

    @property
    def file_name(self) -> str:
        """The variable that names a file with the value; empty where there is none."""
        return f"{self.name}_FILE" if self.secret else ""

    @property
    def key(self) -> str:
        """The flag as :meth:`Settings.load` knows it; for a secret it is that of the file."""
        return self.flag.removeprefix("--").replace("-", "_")
