"""From the text of ``RTB_WORKLOADS`` to workloads."""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from rtb.agent.workloads.builtin import CoinFlip, NoOp
from rtb.agent.workloads.command import make_command
from rtb.agent.workloads.contract import Workload
from rtb.agent.workloads.python import make_python
from rtb.errors import ConfigurationError

__all__ = ["make_workload", "make_workloads"]

#: Offered whatever is configured: the units of a first start run nothing else.
_BUILT_IN = "coinflip"
_DAY = 86_400.0


def make_workloads(
    reactor: Any,
    specs: Mapping[str, str],
    *,
    slots: int,
    random: random.Random,
    printed: Callable[[bytes], None] | None = None,
) -> dict[str, Workload]:
    """Return name -> workload of each of *specs* and the coin flip.

    Programs are looked for and functions imported (in a child process), so this blocks for a
    moment: call it before the reactor runs. *printed* gets what the units print, as they do.

    :raises ConfigurationError: one cannot be run here; the message says which and why
    """
    workloads = {}
    for name, spec in ({_BUILT_IN: _BUILT_IN} | dict(specs)).items():
        try:
            workloads[name] = make_workload(
                reactor, spec, slots=slots, random=random, printed=printed
            )
        except ConfigurationError as problem:
            raise ConfigurationError(f"RTB_WORKLOADS: {name}={spec:.200}: {problem}") from problem
    return workloads


def make_workload(
    reactor: Any,
    spec: str,
    *,
    slots: int,
    random: random.Random,
    printed: Callable[[bytes], None] | None = None,
) -> Workload:
    """Return the workload that *spec* describes.

    :raises ConfigurationError: it cannot be run here; the message goes on from the spec
    """
    return _Maker(reactor, slots, random, printed).make(spec)


@frozen
class _Maker:
    reactor: Any
    slots: int
    random: random.Random
    printed: Callable[[bytes], None] | None

    def make(self, spec: str) -> Workload:
        kind, _, rest = spec.strip().partition(":")
        match kind:
            case "coinflip":
                return self._coinflip(rest)
            case "noop" if not rest:
                return NoOp()
            case "command":
                return make_command(self.reactor, _argv(rest), self.printed)
            case "python":
                return make_python(self.reactor, rest, self.slots, self.printed)
        raise ConfigurationError(
            "is none of coinflip, coinflip:error=0.1,seconds=0.2, noop, command:ARGV, "
            "python:MODULE:FUNCTION"
        )

    def _coinflip(self, rest: str) -> Workload:
        values = {}
        for part in filter(None, rest.split(",")):
            name, _, text = (piece.strip() for piece in part.partition("="))
            if name not in ("error", "seconds") or name in values:
                raise ConfigurationError(f"coinflip has error=RATIO and seconds=N, not {part!r}")
            values[name] = _number(name, text, 1.0 if name == "error" else _DAY)
        return CoinFlip(self.reactor, self.random, **values)


def _number(name: str, text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= most:
        return value
    raise ConfigurationError(f"{name}={text:.40} must be a number from 0 to {most:g}")


def _argv(text: str) -> list[str]:
    try:
        argv = shlex.split(text)
    except ValueError as problem:
        raise ConfigurationError(f"cannot be split into words: {problem}") from None
    if not argv:
        raise ConfigurationError("names no program")
    return argv
