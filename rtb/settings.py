"""A process's settings, taken from its flags, its environment and the defaults.

A setting of :data:`SETTINGS` is taken from its flag, else from its ``RTB_*`` variable (or the file
that its ``_FILE`` variable names), else from its default. Every role reads every role's names, so
one environment serves all of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs

from rtb import launching, parsing
from rtb.addresses import Broker, Database, HostPort
from rtb.errors import ConfigurationError
from rtb.model.retention import Retention
from rtb.model.scale import Range
from rtb.setting import Setting
from rtb.setting_table import SETTINGS

__all__ = [
    "SETTINGS",
    "Broker",
    "Database",
    "HostPort",
    "Setting",
    "Settings",
    "require_private_admin",
    "require_private_listening",
    "unknown",
]

#: Names of the same prefix that rtb gives to others and does not read itself.
_GIVEN = frozenset({"RTB_ATTEMPT", "RTB_ORDER", "RTB_UNIT"})
_FILE_BYTES = 64 * 1024


@attrs.frozen
class _Found:
    setting: Setting
    #: "flag", "environment", "file" or "default".
    source: str
    #: The flag or variable, as an error names it.
    name: str
    text: str


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of a process, read and checked; no secret in its ``repr``."""

    max_queue: int
    db: Database
    amqp: Broker
    api_host: HostPort
    api_listen: str
    trusted_network: bool
    box: str
    seed_count: int
    accounts: str
    retention: Retention
    epoch: float
    drain_timeout: float
    agent_slots: int
    agent_name: str
    workloads: Mapping[str, str]
    admin_listen: str
    log_format: str
    log_level: str
    agent_container: str
    agent_alone: float
    launcher: str
    agents: Range
    agents_quiet: float
    agents_log: str
    yarn_rm: Sequence[str]
    yarn_user: str
    yarn_queue: str
    yarn_service: str
    yarn_memory: int
    yarn_cores: int
    yarn_command: str
    yarn_files: Sequence[str]
    yarn_env: Mapping[str, str]
    yarn_amqp_file: str
    yarn_lifetime: int
    yarn_idle: float
    failpoint: Mapping[str, float]
    _origins: Mapping[str, _Found] = attrs.field(factory=dict, repr=False, eq=False)

    @classmethod
    def load(
        cls, flags: Mapping[str, str], environ: Mapping[str, str], *, role: str | None = None
    ) -> Self:
        """Return the settings that *flags* (by :attr:`Setting.key`) and *environ* make.

        A secret file that only other roles than *role* need is not opened.

        :raises ConfigurationError: a value cannot be used
        """
        found: dict[str, _Found] = {}
        for origin in (_from_flags(flags, role), _from_environment(environ, role), _defaults()):
            for here in origin:
                found.setdefault(here.setting.attribute, here)
        values = {attribute: _parsed(here) for attribute, here in found.items()}
        values.setdefault("admin_listen", "")
        values = {**launching.defaults(values["box"]), **values}
        values.setdefault("failpoint", {})
        where = values["api_host"]
        values.setdefault("api_listen", f"tcp:{where.port}:interface=127.0.0.1")
        return cls(**values, origins=found)

    def source(self, attribute: str) -> str:
        """Say where *attribute* comes from: "flag", "environment", "file" or "default"."""
        return self._origins[attribute].source if attribute in self._origins else "default"

    def shown(self) -> list[tuple[str, str, str]]:
        """Return (variable, value, source) of each attribute, without secrets."""
        rows = []
        for attribute, first in {row.attribute: row for row in reversed(SETTINGS)}.items():
            setting = self._origins[attribute].setting if attribute in self._origins else first
            rows.append((setting.name, _text(getattr(self, attribute)), self.source(attribute)))
        return sorted(rows)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ";".join(f"{name}={spec}" for name, spec in value.items())
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def _from_flags(flags: Mapping[str, str], role: str | None) -> Iterator[_Found]:
    for setting in SETTINGS:
        text = flags.get(setting.key)
        if text is None:
            continue
        if not setting.secret:
            yield _Found(setting, "flag", setting.flag, text)
        elif role is None or role in setting.roles:
            yield _Found(setting, "file", setting.flag, _read(setting.flag, text))


def _from_environment(environ: Mapping[str, str], role: str | None) -> Iterator[_Found]:
    # An empty variable is an unset one: compose and systemd have no other way to unset.
    for setting in SETTINGS:
        text, path = environ.get(setting.name), environ.get(setting.file_name)
        if text and path:
            raise ConfigurationError(f"set {setting.name} or {setting.file_name}, not both")
        if text:
            yield _Found(setting, "environment", setting.name, text)
        elif path and (role is None or role in setting.roles):
            yield _Found(setting, "file", setting.file_name, _read(setting.file_name, path))


def _defaults() -> Iterator[_Found]:
    for setting in SETTINGS:
        if setting.default:
            yield _Found(setting, "default", setting.name, setting.default)


def _read(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_FILE_BYTES).decode().strip()
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"{name}: cannot read {path[:200]!r}: {why}") from None
    if not content:
        raise ConfigurationError(f"{name}: the file {path[:200]!r} is empty")
    return content


def _parsed(found: _Found) -> Any:
    try:
        return found.setting.parse(found.text)
    except ValueError as problem:
        shown = "'***'" if found.setting.secret else repr(found.text[:80])
        raise ConfigurationError(f"{found.name}={shown} {problem}") from None


def require_private_listening(settings: Settings) -> None:
    """Refuse an API that people beyond this machine could reach unless that was asked for.

    :raises ConfigurationError: it listens elsewhere than on loopback or on a Unix socket
    """
    _require_private(settings, "RTB_API_LISTEN", settings.api_listen)


def require_private_admin(settings: Settings) -> None:
    """Refuse the same of what a role shows to whoever watches over it.

    :raises ConfigurationError: it listens elsewhere than on loopback or on a Unix socket
    """
    if settings.admin_listen:
        _require_private(settings, "RTB_ADMIN_LISTEN", settings.admin_listen)


def _require_private(settings: Settings, name: str, where: str) -> None:
    if not settings.trusted_network and not parsing.is_private(where):
        raise ConfigurationError(
            f"{name}={where!r} can be reached from other machines: set "
            "RTB_TRUSTED_NETWORK=1 if whoever reaches it may use it, or listen on loopback"
        )


def unknown(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each ``RTB_*`` name in *environ* that rtb does not know, and the nearest it knows."""
    names = [setting.name for setting in SETTINGS]
    names += [setting.file_name for setting in SETTINGS if setting.secret]
    strange = sorted(
        name
        for name in environ
        if name.startswith("RTB_") and name not in names and name not in _GIVEN
    )
    return [(name, difflib.get_close_matches(name, names, 1, 0.0)[0]) for name in strange]
