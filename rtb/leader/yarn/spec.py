"""The service that is sent to YARN, rendered from settings.

Everybody on the cluster can read it: it holds no secret, only the path of a file with one. Values
reach a shell script unescaped: what could mean something to a shell is refused before it is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from rtb.errors import ConfigurationError
from rtb.leader.yarn.answers import COMPONENT

__all__ = ["OURS", "Plan"]

#: How the version of a service of ours begins; its end is the hash of the rendered spec.
OURS = "rtb."
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_VALUE = re.compile(r"[A-Za-z0-9_./:@,=+%; -]*\Z")
_FILE = re.compile(r"[a-z][a-z0-9+.-]*:///?[A-Za-z0-9_./:@,=+%-]+\Z|/[A-Za-z0-9_./:@,=+%-]+\Z")
#: Filled in by YARN, for each container.
_OF_EACH = {
    "RTB_AGENT_NAME": "${COMPONENT_INSTANCE_NAME}",
    "RTB_AGENT_CONTAINER": "${CONTAINER_ID}",
}
_ALWAYS = {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
_FOR_EVER = "1000000"
#: With the defaults a long-lived service would be ended by the failures of a day.
_PROPERTIES = {
    "yarn.service.am-restart.max-attempts": "20",
    "yarn.service.container-failure.retry.max": "-1",
    "yarn.service.container-failure.retry-interval-ms": "2000",
    "yarn.service.container-failure-per-component.threshold": _FOR_EVER,
    "yarn.service.node-blacklist.threshold": _FOR_EVER,
}


def _refuse(variable: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{variable} {why}")


@attrs.frozen(kw_only=True)
class Plan:
    """What is to run on the cluster.

    :raises ConfigurationError: a name or a value cannot be sent
    """

    service: str
    queue: str
    #: MB and cores of one agent.
    memory: int
    cores: int
    command: str
    #: Seconds after which YARN ends the service unless somebody renews them.
    lifetime: int
    environment: Mapping[str, str]
    #: Files that YARN copies into each container, by the URL on the cluster's file system.
    files: Sequence[str] = ()

    def __attrs_post_init__(self) -> None:
        if not _NAME.match(self.service):
            raise _refuse(
                "RTB_YARN_SERVICE",
                f"cannot be {self.service[:80]!r}: use a-z, 0-9 and '-', "
                "beginning with a letter, at most 63 characters",
            )
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", self.queue):
            raise _refuse("RTB_YARN_QUEUE", f"cannot be {self.queue[:80]!r}")
        if not self.command.strip() or re.search(r'["`\\\n\r]', self.command):
            raise _refuse(
                "RTB_YARN_COMMAND",
                "must be one line without double quotes, backquotes and backslashes: "
                "it becomes part of a shell script (put more into a file and name that)",
            )
        for name, value in self.environment.items():
            if not _VARIABLE.match(name) or not _VALUE.match(value):
                raise _refuse(
                    name[:80],
                    "cannot be sent to YARN: use letters, digits, space and any of _./:@,=+%;- "
                    "(put the rest into a script on the nodes and name that in RTB_YARN_COMMAND)",
                )
        for file in self.files:
            if not _FILE.match(file):
                raise _refuse("RTB_YARN_FILES", f"cannot name {file[:80]!r}: give URLs or paths")

    def render(self, number: int) -> dict[str, Any]:
        """Return the spec of a service that begins with *number* agents."""
        spec = self._spec()
        spec["version"] = self.version
        spec["components"][0]["number_of_containers"] = number
        spec["lifetime"] = self.lifetime
        return spec

    @property
    def version(self) -> str:
        """Names this plan: a service of another version runs something else."""
        text = msgspec.json.encode(self._spec(), order="sorted")
        return OURS + hashlib.sha256(text).hexdigest()[:16]

    def _spec(self) -> dict[str, Any]:
        command = self.command.strip()
        if not command.startswith("exec "):
            # So that signals reach the agent, and its exit code YARN.
            command = f"exec {command}"
        files = [
            {"type": "STATIC", "src_file": file, "dest_file": file.rpartition("/")[2]}
            for file in self.files
        ]
        return {
            "name": self.service,
            "description": "Red-Tailed Boa agents",
            "queue": self.queue,
            "configuration": {"properties": dict(_PROPERTIES)},
            "components": [
                {
                    "name": COMPONENT,
                    "restart_policy": "ALWAYS",
                    "launch_command": command,
                    "resource": {"cpus": self.cores, "memory": str(self.memory)},
                    "configuration": {
                        "env": {**_ALWAYS, **self.environment, **_OF_EACH},
                        "files": files,
                    },
                }
            ],
        }
