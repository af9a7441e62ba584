"""Command line options of the roles, made from the table of settings.

A value that cannot be used is one line on stderr and exit code 78 (EX_CONFIG), before anything
is started or forked.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.application.service import IService
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python import usage

from rtb import failpoint
from rtb.errors import ConfigurationError
from rtb.roles.clock import use_monotonic_clock
from rtb.roles.logs import limit_log
from rtb.settings import (
    SETTINGS,
    Setting,
    Settings,
    require_private_admin,
    require_private_listening,
    unknown,
)

__all__ = ["EX_CONFIG", "RoleOptions", "make", "parameters"]

EX_CONFIG = 78

log = Logger()

#: Objects made until the youngest are looked at, and how often until older ones are.
_THRESHOLDS = (20_000, 20, 20)


def parameters(roles: Iterable[str]) -> list[list[str | None]]:
    """Return what :class:`usage.Options` wants to know about the settings that *roles* use."""
    return [
        [row.flag.removeprefix("--"), None, None, _describe(row)]
        for row in SETTINGS
        if row.roles & set(roles)
    ]


def _describe(row: Setting) -> str:
    default = row.default or row.default_says
    text = f"{row.name}: {row.help}"
    if row.secret:
        text += f". This flag and {row.file_name} name a file that holds it"
    return f"{text} [default: {default}]" if default else text


class RoleOptions(usage.Options):
    """What a role takes from its command line; :attr:`settings` once that has been read."""

    #: The name twistd knows the role by.
    tapname: str
    #: Whose secrets it reads; None for everybody's.
    role: str | None = None
    #: Does it open the API's port?
    listens = False
    longdesc = (
        "Each option may be given as the environment variable named beside it instead; the "
        "option wins. All roles know all variables, so one environment serves them all."
    )
    settings: Settings

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; leave with exit code 78 if it cannot be used."""
        try:
            super().parseOptions(options)
        except usage.UsageError as problem:
            raise self.refused(
                f"{str(problem).rstrip('.')}; see twistd {self.tapname} --help"
            ) from None

    def postOptions(self) -> None:
        """Make :attr:`settings` of flags, environment and defaults."""
        flags = {key.replace("-", "_"): text for key, text in self.items() if text is not None}
        try:
            self.settings = Settings.load(flags, os.environ, role=self.role)
            if self.listens:
                require_private_listening(self.settings)
            require_private_admin(self.settings)
        except ConfigurationError as problem:
            raise self.refused(str(problem)) from None
        twistd = getattr(self, "parent", None)
        if twistd is not None:
            named = {"rtb-agent": self.settings.agent_name, "rtb-leader": self.settings.box}
            limit_log(
                twistd,
                self.settings.log_level,
                role=self.tapname,
                instance=named.get(self.tapname, str(self.settings.api_host)),
                as_json=self.settings.log_format == "json",
            )

    def refused(self, why: str) -> SystemExit:
        """Say *why* on stderr, and return what to raise."""
        line = " ".join(why.split())
        sys.stderr.write(f"{self.tapname}: {line}\n")
        return SystemExit(EX_CONFIG)


def make(
    options: RoleOptions, reactor: IReactorTime, build: Callable[[Settings, Any], IService]
) -> IService:
    """Return the service that *build* makes of *options*, on a reactor with a steady clock."""
    use_monotonic_clock(reactor)
    strange = unknown(os.environ)
    if strange:
        log.warn(
            "these variables are not known and not used: {names}",
            names=", ".join(f"{name} (nearest: {nearest})" for name, nearest in strange),
        )
    failpoint.arm(options.settings.failpoint)
    try:
        service = build(options.settings, reactor)
    except ConfigurationError as problem:
        raise options.refused(str(problem)) from None
    _collect_less()
    return service


def _collect_less() -> None:
    """Let the garbage collector look at less, and less often.

    Units come and go by the thousand, and hardly any is part of a cycle: to look at all that there
    is each 700 objects was a tenth of a role's time. What is there by now stays, and is not looked
    at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
