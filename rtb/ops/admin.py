"""What a leader and an agent tell whoever watches over them: a small site of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from rtb.ops.metrics import CONTENT_TYPE, exposed

__all__ = ["READY", "Readiness", "make_admin_site"]

#: What a part says of itself when nothing is wrong.
READY = "ready"
Readiness = Callable[[], Mapping[str, str]]


@implementer(IResource)
class _Answering(Resource):
    isLeaf = True

    def __init__(self, answer: Callable[[Request], bytes], kind: str) -> None:
        super().__init__()
        self._answer = answer
        self._kind = kind

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("Content-Type", self._kind)
        request.setHeader("Cache-Control", "no-store")
        body = self._answer(request)
        request.setHeader("Content-Length", str(len(body)))
        return body


class _AdminSite(Site):
    displayTracebacks = False
    noisy = False

    def log(self, request: Any) -> None:
        """Nothing: probes come every few seconds."""


def make_admin_site(registry: CollectorRegistry, readiness: Readiness, reactor: Any) -> Site:
    """Return a site with ``/livez``, ``/readyz`` and ``/metrics``."""

    def ready(request: Request) -> bytes:
        parts = dict(readiness())
        well = all(state == READY for state in parts.values())
        if not well:
            request.setResponseCode(503)
        said: dict[str, Any] = {"ready": well}
        if not well or b"verbose" in request.args or b"verbose" in request.uri:
            said["parts"] = parts
        return msgspec.json.encode(said) + b"\n"

    root = Resource()
    root.putChild(b"livez", _Answering(lambda _: b'{"alive":true}\n', "application/json"))
    root.putChild(b"readyz", _Answering(ready, "application/json"))
    root.putChild(b"metrics", _Answering(lambda _: exposed(registry), CONTENT_TYPE))
    return _AdminSite(root, reactor=reactor)
