"""Which user runs a private server, and what that user can reach.

PostgreSQL refuses to run as root, and no server needs root's powers: when rtb runs as root, servers
run as the user of their own package, else as ``nobody``. As an ordinary user everything runs as
that user.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from attrs import frozen

from rtb.sandbox.errors import SandboxError

__all__ = ["Account", "account_of", "can_reach"]


@frozen
class Account:
    """The user that a server runs as."""

    name: str
    uid: int
    gid: int
    #: Is it another user than the one that rtb runs as?
    foreign: bool

    def own(self, path: Path) -> None:
        """Give *path* to this user."""
        if self.foreign:
            os.chown(path, self.uid, self.gid)

    @property
    def spawn_as(self) -> tuple[int | None, int | None]:
        """uid and gid for ``spawnProcess``; None and None when nothing is to change."""
        return (self.uid, self.gid) if self.foreign else (None, None)


def account_of(*names: str) -> Account:
    """Return the first of the users *names* that exists, if this process is root; else itself."""
    if os.getuid() != 0:
        return Account("", os.getuid(), os.getgid(), foreign=False)
    for name in (*names, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, foreign=True)
    raise SandboxError(f"root runs no server itself, and there is no user {' or '.join(names)}")


def can_reach(account: Account, path: Path) -> bool:
    """May *account* enter every directory above *path*, and enter or execute that itself?"""
    place = path.resolve()
    return not account.foreign or all(
        _may_enter(account, step.stat()) for step in (place, *place.parents)
    )


def _may_enter(account: Account, status: os.stat_result) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
