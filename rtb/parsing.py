"""What the text of a setting may be: one function per kind of value.

Each returns the value, or raises ValueError with the end of a sentence that begins with the
setting's name: "must be ...".
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable

from rtb.model.names import BadNameError, check_workload

__all__ = ["choice", "endpoint", "is_private", "label", "seconds", "switch", "whole", "workloads"]

_SWITCH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(
    ("0", "false", "no", "off"), False
)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}\Z")
#: One entry: anything but a separator, where quotes and backslashes hide separators.
_ENTRY = re.compile(r"""(?:[^;\n'"\\]|'[^']*'|"(?:[^"\\]|\\.)*"|\\.)+""", re.DOTALL)
_KINDS = ("coinflip", "noop", "command", "python")
#: Always offered under this very name: the units of a first start run nothing else.
_BUILT_IN = "coinflip"


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from *least* to *most*."""

    def read(text: str) -> int:
        if re.fullmatch(r"[0-9]{1,18}", text) and least <= int(text) <= most:
            return int(text)
        raise ValueError(f"must be a whole number from {least} to {most}")

    return read


def seconds(least: float, most: float) -> Callable[[str], float]:
    """Return a reader of seconds, with a fraction or without, from *least* to *most*."""
    limits = f"must be a number of seconds from {least:g} to {most:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(limits) from None
        if not math.isfinite(value) or not least <= value <= most:
            raise ValueError(limits)
        return value

    return read


def switch(text: str) -> bool:
    """Return whether *text* means yes."""
    try:
        return _SWITCH[text.lower()]
    except KeyError:
        raise ValueError("must be 1 or 0") from None


def choice(*allowed: str) -> Callable[[str], str]:
    """Return a reader that takes only the words *allowed*."""

    def read(text: str) -> str:
        if text.lower() in allowed:
            return text.lower()
        raise ValueError(f"must be one of {', '.join(allowed)}")

    return read


def label(text: str) -> str:
    """Return *text* if it can label an agent."""
    if _LABEL.match(text):
        return text
    raise ValueError("must be letters, digits, '.', '_' and '-', at most 255")


def workloads(text: str) -> dict[str, str]:
    """Return name -> specification of each workload that *text* lists, and the built-in one."""
    found: dict[str, str] = {}
    for entry in _entries(text):
        name, equals, spec = (part.strip() for part in entry.partition("="))
        _check_entry(name, equals, spec, entry)
        if name in found:
            raise ValueError(f"must name each workload once; {name!r} is there twice")
        found[name] = spec
    found.setdefault(_BUILT_IN, _BUILT_IN)
    return found


def _entries(text: str) -> list[str]:
    end, entries = 0, []
    for match in _ENTRY.finditer(text):
        if text[end : match.start()].strip(";\n"):
            break
        end = match.end()
        entries.append(match.group().strip())
    if text[end:].strip(";\n"):
        raise ValueError("must close each quotation")
    return [entry for entry in entries if entry]


def _check_entry(name: str, equals: str, spec: str, entry: str) -> None:
    if not equals:
        raise ValueError(f"must be NAME=SPEC, separated by ';' or new lines, not {entry[:80]!r}")
    try:
        check_workload(name)
    except BadNameError as problem:
        raise ValueError(str(problem)) from None
    kind = spec.partition(":")[0]
    if kind not in _KINDS:
        raise ValueError(
            f"must be NAME=SPEC where SPEC begins with one of {', '.join(_KINDS)}, "
            f"not {spec[:80]!r}"
        )
    if name == _BUILT_IN and kind != _BUILT_IN:
        raise ValueError(f"must not give the name {_BUILT_IN!r} to anything but the built-in one")


def endpoint(text: str) -> str:
    """Return *text* if Twisted can make a server endpoint of it."""
    # Not at the top: `twistd --help` and the plain commands have no need of it.
    from twisted.internet.endpoints import serverFromString

    try:
        serverFromString(object(), text)
    except Exception as problem:
        raise ValueError(
            "must be a Twisted server endpoint, for example tcp:8080:interface=127.0.0.1 "
            f"({problem!r:.140})"
        ) from None
    return text


def is_private(description: str) -> bool:
    """Say whether a server at endpoint *description* is reached from this machine only."""
    kind, *arguments = re.split(r"(?<!\\):", description)
    if kind == "unix":
        return True
    interface = ""
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key == "interface":
            interface = value.replace("\\:", ":")
    if kind not in ("tcp", "tcp6", "ssl"):
        return False
    if interface == "localhost":
        return True
    try:
        return ipaddress.ip_address(interface).is_loopback
    except ValueError:
        return False
