"""What a cluster answers on its web ports, asked once; for readiness and for checks."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectError

__all__ = ["ask"]

_WITHIN = 10.0


async def ask(reactor: Any, port: int, path: str) -> Any:
    """Return the JSON that ``GET path`` at the loopback *port* brings; None when it brings none."""
    # Imported here because it is slow to import.
    import treq
    from twisted.internet import defer
    from twisted.internet.defer import CancelledError
    from twisted.web._newclient import RequestTransmissionFailed
    from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
    from twisted.web.http_headers import Headers

    try:
        answer = await treq.get(
            f"http://127.0.0.1:{port}{path}",
            headers=Headers({"Accept": ["application/json"]}),
            agent=Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)),
            timeout=_WITHIN,
            allow_redirects=False,
        )
        body = await answer.json()
    except (
        ConnectError,
        ResponseFailed,
        RequestTransmissionFailed,
        CancelledError,
        defer.TimeoutError,
        ValueError,
    ):
        return None
    return body if answer.code == 200 else None
