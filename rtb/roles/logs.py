"""The level of a role's log: twistd has no option for it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from twisted.logger import FileLogObserver, FilteringLogObserver, LogLevel, LogLevelFilterPredicate

from rtb.roles.jsonlog import json_observer

__all__ = ["limit_log", "limited_observer"]

_CHATTY = ("twisted.internet.protocol", "twisted.web")

#: twistd takes the observer only as a dotted name of a function without arguments, so what that
#: function needs has to wait here. A process has one log.
_wanted: dict[str, Any] = {}


def limit_log(
    twistd: MutableMapping[str, Any], level: str, *, role: str, instance: str, as_json: bool
) -> None:
    """Let the process that *twistd* (its options) starts log nothing below *level*.

    With *as_json* its lines are objects that name *role* and *instance*.

    Where its user named an observer with ``--logger``, that is left alone.
    """
    if not twistd.get("logger"):
        _wanted.update(options=dict(twistd), level=LogLevel.levelWithName(level), role=role)
        _wanted.update(json=as_json, instance=instance)
        twistd["logger"] = f"{__name__}.{limited_observer.__name__}"


def limited_observer() -> FilteringLogObserver:
    """Return the observer that twistd would have used, behind a filter."""
    # Private, but the only way to keep --logfile, --syslog and SIGUSR1 as twistd has them.
    from twisted.scripts._twistd_unix import UnixAppLogger

    usual = UnixAppLogger(_wanted["options"])._getLogObserver()
    if _wanted["json"] and isinstance(usual, FileLogObserver):
        always = {name: _wanted[name] for name in ("role", "instance")}
        usual = json_observer(usual._outFile, **always)
    level = _wanted["level"]
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    if level is LogLevel.info:
        # Each connection, also each that fails, would be two lines here.
        for namespace in _CHATTY:
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(usual, [predicate])
