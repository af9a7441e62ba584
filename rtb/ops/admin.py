"""What a leader and an agent tell whoever watches over them: a small site of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from rtb.ops.metrics import CONTENT_TYPE

__all__ = ["READY", "Readiness", "make_admin_site"]

#: What a part says of itself when nothing is wrong.
READY = "ready"
_log = Logger()
Readiness = Callable[[], Awaitable[Mapping[str, str]]]


@implementer(IResource)
class _Answering(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[Request], Awaitable[bytes]], kind: str) -> None:
        super().__init__()
        self._answer = answer
        self._kind = kind

    def render_GET(self, request: Request) -> int:
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        answering = Deferred.fromCoroutine(self._respond(request, gone))
        answering.addErrback(lambda failure: _log.failure("a probe failed", failure))
        return NOT_DONE_YET

    async def _respond(self, request: Request, gone: list[Failure]) -> None:
        body = await self._answer(request)
        if gone:
            return
        request.setHeader("Content-Type", self._kind)
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("Content-Length", str(len(body)))
        request.write(body)
        request.finish()


class _AdminSite(Site):
    displayTracebacks = False
    noisy = False

    def log(self, request: Any) -> None:
        """Nothing: probes come every few seconds."""


def make_admin_site(
    scrape: Callable[[], Awaitable[bytes]], readiness: Readiness, reactor: Any
) -> Site:
    """Return a site with ``/livez``, ``/readyz`` and ``/metrics``."""

    async def alive(_: Request) -> bytes:
        return b'{"alive":true}\n'

    async def ready(request: Request) -> bytes:
        parts = dict(await readiness())
        well = all(state == READY for state in parts.values())
        if not well:
            request.setResponseCode(503)
        said: dict[str, Any] = {"ready": well}
        if not well or b"verbose" in request.uri:
            said["parts"] = parts
        return msgspec.json.encode(said) + b"\n"

    async def metrics(_: Request) -> bytes:
        return await scrape()

    root = Resource()
    root.putChild(b"livez", _Answering(alive, "application/json"))
    root.putChild(b"readyz", _Answering(ready, "application/json"))
    root.putChild(b"metrics", _Answering(metrics, CONTENT_TYPE))
    return _AdminSite(root, reactor=reactor)
