"""The part of ``rtb dev --yarn`` that is about YARN: a private cluster, and settings to use it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rtb.sandbox.yarn import YarnCluster

__all__ = ["Containers"]

_NODES = 2


class Containers:
    """Where the agents of a run are: on the cluster that *environ* names, else on a private one.

    :param directory: for the files of a private cluster
    """

    def __init__(self, reactor: Any, directory: Path, environ: Mapping[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self._cluster = (
            None
            if environ.get("RTB_YARN_RM")
            else YarnCluster(reactor, directory / "yarn", nodes=_NODES)
        )

    async def start(self, broker: str | None) -> dict[str, str]:
        """Start the cluster; return settings that use it, where *environ* says nothing else.

        :param broker: the URL of a private broker
        """
        chosen = {"RTB_LAUNCHER": "yarn"}
        if broker is not None:
            chosen["RTB_YARN_AMQP_URL_FILE"] = self._hide(broker)
        if self._cluster is not None:
            click.echo("starting a private YARN cluster ...", err=True)
            await self._cluster.start()
            twistd = shlex.quote(str(Path(sys.executable).with_name("twistd")))
            chosen |= {
                "RTB_YARN_RM": ",".join(self._cluster.addresses),
                # Eight of them fit on the private nodes.
                "RTB_YARN_MEMORY": "256",
                "RTB_YARN_COMMAND": f"{twistd} -n --pidfile= rtb-agent",
            }
            if os.environ.get("PYTHONPATH"):
                chosen["RTB_YARN_ENV"] = f"PYTHONPATH={os.environ['PYTHONPATH']}"
        return {name: text for name, text in chosen.items() if not self._environ.get(name)}

    async def stop(self) -> None:
        """End the private cluster, and every container with it."""
        if self._cluster is not None:
            await self._cluster.stop()

    def kill(self) -> None:
        """End it at once."""
        if self._cluster is not None:
            self._cluster.kill()

    @property
    def where(self) -> str:
        """Say where to look at the cluster."""
        if self._cluster is None:
            return f"{self._environ['RTB_YARN_RM']}  (keeps the service until its life time ends)"
        return f"http://{self._cluster.addresses[0]}/  (private, {_NODES} nodes)"

    def _hide(self, url: str) -> str:
        """Put a URL with a password into a file that only this user can read."""
        path = self._directory / "amqp-url"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(url)
        return str(path)
