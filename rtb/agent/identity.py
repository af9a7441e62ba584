"""Who an agent is, and where it is."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

__all__ = ["Identity", "host_of"]


@attrs.frozen
class Identity:
    """Who an agent is."""

    name: str
    host: str
    pid: int
    box: str
    #: What a launcher started it in; empty if none did.
    container: str = ""


def host_of(environ: Mapping[str, str], host: str) -> str:
    """Return where a process with *environ* runs: in a YARN container the id of its node.

    A node is host and port, since a machine may have several; otherwise it is *host*.
    """
    node, port = environ.get("NM_HOST"), environ.get("NM_PORT")
    return f"{node}:{port}" if environ.get("CONTAINER_ID") and node and port else host
