"""``python -m rtb.ops.probe api|broker``: says whether a role in this container is well.

For health checks of containers, which have neither curl nor a second opinion. An API is asked
whether it is ready; a leader or an agent has no port, but is of use exactly while it holds its two
connections to the broker, and the kernel knows those.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from rtb.settings import Settings

__all__ = ["broker_links", "main"]

_SECONDS = 3
_ESTABLISHED = "01"
#: One to publish and one to consume.
_LINKS = 2


def main(what: str, environ: Mapping[str, str], network: Path = Path("/proc/net")) -> str:
    """Return what is wrong with *what*, in one line; empty if nothing is."""
    if what == "api":
        return _api(Settings.load({}, environ, role="leader").api_host.port)
    if what == "broker":
        port = Settings.load({}, environ, role="leader").amqp.port
        links = broker_links(network, port)
        return "" if links >= _LINKS else f"{links} of {_LINKS} connections to the broker"
    return f"cannot tell how {what!r} is: ask for api or broker"


def _api(port: int) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read(2000).decode("utf-8", "replace").strip()
    except (OSError, HTTPException) as problem:
        return f"the API at port {port} does not answer: {problem}"
    finally:
        connection.close()
    return "" if answer.status == 200 else said


def broker_links(network: Path, port: int) -> int:
    """Return how many connections to *port* of any host are established here."""
    count = 0
    for name in ("tcp", "tcp6"):
        table = network / name
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for _, _, remote, state, *_ in map(str.split, lines):
            count += state == _ESTABLISHED and int(remote.rpartition(":")[2], 16) == port
    return count


if __name__ == "__main__":
    problem = main(sys.argv[1] if len(sys.argv) == 2 else "", os.environ)
    sys.stderr.write(f"{problem}\n" if problem else "")
    sys.exit(bool(problem))
