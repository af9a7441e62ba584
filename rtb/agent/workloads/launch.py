"""How processes that run units are started: a clean environment and a session of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from rtb.agent import keeper
from rtb.errors import ConfigurationError

__all__ = ["Keeper", "clean_environment", "launcher"]

#: What units get of the agent's environment. Everything else stays with the agent: its variables
#: hold the addresses and passwords of broker and API. docs/workloads.md lists these.
_PASSED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|TMPDIR|LANG|LANGUAGE|LC_[A-Z]+|PYTHON[A-Z_]*|VIRTUAL_ENV"
    r"|LD_LIBRARY_PATH|SSL_CERT_FILE|SSL_CERT_DIR|JAVA_HOME|HADOOP_(?:HOME|CONF_DIR)"
    r"|[A-Z]+_NUM_THREADS"
)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of *environ* that units get."""
    passed = {name: value for name, value in environ.items() if _PASSED.fullmatch(name)}
    return {"PATH": os.defpath} | passed


def launcher(environ: Mapping[str, str]) -> list[str]:
    """Return the words before an argv that give it a session of its own, under the same pid.

    Where the machine can, the kernel also ends the process when the agent is killed.

    :raises ConfigurationError: this machine has no ``setsid``
    """
    path = environ.get("PATH", os.defpath)
    setsid, setpriv = shutil.which("setsid", path=path), shutil.which("setpriv", path=path)
    if setsid is None:
        raise ConfigurationError("needs the program setsid: install util-linux")
    if setpriv is None:
        return [setsid]
    words = [setpriv, "--pdeathsig", "KILL", "--"]
    # The setpriv of busybox has no such option.
    tried = subprocess.run([*words, "true"], capture_output=True, env=dict(environ), check=False)
    return [setsid] if tried.returncode else [setsid, *words]


class _Life(ProcessProtocol):
    """The process of a keeper."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def processEnded(self, reason: Failure) -> None:
        self._keeper.ended()


@define(eq=False)
class Keeper:
    """Ends the process groups of an agent that was killed."""

    reactor: Any
    _groups: set[int] = field(factory=set, init=False)
    _process: IProcessTransport | None = field(default=None, init=False)

    def watch(self, group: int) -> None:
        """Take care of *group*."""
        self._groups.add(group)
        if self._process is None:
            self._start()
        else:
            self._process.writeToChild(0, b"+%d\n" % group)

    def forget(self, group: int) -> None:
        """*group* is gone."""
        self._groups.discard(group)
        if self._process is not None:
            self._process.writeToChild(0, b"-%d\n" % group)

    def _start(self) -> None:
        argv = ["setsid", sys.executable, "-I", "-S", keeper.__file__]
        environment = clean_environment(os.environ)
        self._process = self.reactor.spawnProcess(
            _Life(self), argv[0], argv, env=environment, childFDs={0: "w"}
        )
        for group in self._groups:
            self._process.writeToChild(0, b"+%d\n" % group)

    def close(self) -> None:
        """Let it go: nothing that it watches lives."""
        if self._process is not None:
            self._process.closeChildFD(0)

    def ended(self) -> None:
        """Begin another life of it with the next group, should somebody have killed it."""
        self._process = None


@frozen
class Launch:
    """Everything that starting a process for units takes."""

    reactor: Any
    words: list[str]
    environment: dict[str, str]
    keeper: Keeper

    @classmethod
    def here(cls, reactor: Any, environ: Mapping[str, str]) -> Launch:
        """Return what this machine and *environ* offer.

        :raises ConfigurationError: this machine has no ``setsid``
        """
        return cls(reactor, launcher(environ), clean_environment(environ), Keeper(reactor))
