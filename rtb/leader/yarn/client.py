"""The calls of YARN's REST APIs that the leader needs, at whichever ResourceManager is active.

A standby sends callers to an address as it sees it itself, which need not lead anywhere from here:
such an answer is only taken for "not me", and the next of our own list is asked. A call that may
have been carried out already is sent again only where that changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
import treq
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import deferLater
from twisted.web._newclient import RequestNotSent, RequestTransmissionFailed
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed

from rtb.leader.yarn.answers import (
    COMPONENT,
    Application,
    Away,
    Denied,
    Gibberish,
    Info,
    Node,
    Service,
    read,
    words,
)

__all__ = ["Unsure", "YarnClient"]

_SERVICES = "/app/v1/services"
_CLUSTER = "/ws/v1/cluster"
_LOOK, _CREATE, _DESTROY = 30.0, 60.0, 90.0
#: A ResourceManager that just took over still sends callers away for a moment.
_PAUSE = 0.5
_ROUNDS = 3
_UNKNOWN_SERVICE = 404004
_API_OFF = "is the Services API of {} on (yarn.webapp.api-service.enable)?"


class Unsure(Away):
    """The call was sent, and no answer came: look before it is sent again."""


class _NotSent(Exception):
    """This ResourceManager cannot be reached."""


class _Cut(Exception):
    """The connection ended before the answer."""


class YarnClient:
    """Speaks to a cluster as *user*.

    :param managers: URLs of the ResourceManagers' web addresses
    """

    def __init__(self, reactor: Any, managers: Sequence[str], user: str) -> None:
        self._reactor = reactor
        self._managers = list(managers)
        self._user = user
        # One call a second is not worth connections that outlive a failover.
        self._agent = Agent(
            reactor, connectTimeout=5, pool=HTTPConnectionPool(reactor, persistent=False)
        )
        self._active = 0

    @property
    def manager(self) -> str:
        """The ResourceManager that answered last."""
        return self._managers[self._active]

    # ---- services

    async def service(self, name: str) -> Service | None:
        """Return the service *name*; None if there is none of this user."""
        code, body = await self._call("GET", _path(name))
        if code == 404:
            if self._is_unknown(body):
                return None
            raise Denied(f"{words(body) or 'not found'} (404): {_API_OFF.format(self.manager)}")
        self._expect(code, body, 200)
        return read(body, Service, self.manager)

    async def create(self, spec: dict[str, Any]) -> None:
        """Create the service that *spec* describes.

        :raises Unsure: it may exist now
        :raises Denied: it exists, perhaps as somebody else's, or YARN does not take it
        """
        code, body = await self._call("POST", _SERVICES, spec, limit=_CREATE, again=False)
        self._expect(code, body, 202)

    async def scale(self, name: str, number: int) -> None:
        """Let the service have *number* containers."""
        code, body = await self._call(
            "PUT", f"{_path(name)}/components/{COMPONENT}", {"number_of_containers": number}
        )
        if code == 500 and "flex can only be invoked" in words(body):
            return  # refused in words, and kept all the same for when the service runs
        if code == 500 and "does not exist" in words(body):
            # What a GET shows may be another user's.
            raise Denied(f"{self._user} has no service {name}: it is gone, or somebody else's")
        self._expect(code, body, 200)

    async def decommission(self, name: str, instances: Sequence[str]) -> None:
        """End the containers of *instances*, and need that many fewer: once, however often said."""
        component = {"name": COMPONENT, "decommissioned_instances": list(instances)}
        code, body = await self._call("PUT", _path(name), {"components": [component]})
        self._expect(code, body, 200, 202)

    async def renew(self, name: str, lifetime: int) -> None:
        """Let the service live for *lifetime* seconds from now on."""
        code, body = await self._call("PUT", _path(name), {"lifetime": lifetime})
        self._expect(code, body, 200)

    async def destroy(self, name: str) -> None:
        """Remove the service with all its containers; there need not be one."""
        code, body = await self._call("DELETE", _path(name), limit=_DESTROY)
        if code == 400 and "doesn't exist" in words(body):
            return
        self._expect(code, body, 200)

    # ---- the cluster

    async def nodes(self) -> dict[str, Node]:
        """Return the NodeManagers by id."""
        nodes = (await self._get("/nodes", "nodes")) or {}
        listed = msgspec.convert(nodes.get("node") or [], list[Node])
        return {node.id: node for node in listed}

    async def application(self, application: str) -> Application:
        """Return the *application* behind a service."""
        return msgspec.convert(await self._get(f"/apps/{application}", "app"), Application)

    async def info(self) -> Info:
        """Return what the first ResourceManager that answers is."""
        return msgspec.convert(await self._get("/info", "clusterInfo"), Info)

    async def scheduler(self) -> dict[str, Any]:
        """Return the scheduler with its queues, as it describes itself."""
        return dict((await self._get("/scheduler", "scheduler")) or {})

    async def has_services(self) -> bool:
        """Is the Services API on?"""
        code, body = await self._call("GET", f"{_SERVICES}/version")
        return code == 200 and isinstance(self._json(body), dict)

    async def _get(self, path: str, root: str) -> Any:
        code, body = await self._call("GET", _CLUSTER + path)
        self._expect(code, body, 200)
        try:
            return self._json(body)[root]
        except (KeyError, TypeError):
            raise Gibberish(f"{self.manager} did not answer as YARN does") from None

    # ---- calls

    def _is_unknown(self, body: bytes) -> bool:
        """Is it of the Services API, and about the service? So answers also who has no such API."""
        try:
            said = self._json(body)
        except Gibberish:
            return False
        return isinstance(said, dict) and said.get("code") == _UNKNOWN_SERVICE

    def _json(self, body: bytes) -> Any:
        return read(body, object, self.manager)

    def _expect(self, code: int, body: bytes, *wanted: int) -> None:
        if code not in wanted:
            raise Denied(f"{words(body) or 'no reason given'} ({code})")

    async def _call(
        self, method: str, path: str, body: object = None, *, limit: float = _LOOK,
        again: bool = True,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Return status and body of the active ResourceManager's answer; try each of them."""
        problems: dict[str, str] = {}
        for attempt in range(_ROUNDS * len(self._managers)):
            if attempt and attempt % len(self._managers) == 0:
                await deferLater(self._reactor, _PAUSE)
            try:
                code, answer = await self._ask(method, path, body, limit)
            except _NotSent as problem:
                problems[self.manager] = str(problem)
            except _Cut as problem:
                if not again:
                    raise Unsure(f"{self.manager}: {problem}") from None
                problems[self.manager] = str(problem)
            else:
                if code != 307:
                    return code, answer
                problems[self.manager] = "stands by"
            self._active = (self._active + 1) % len(self._managers)
        said = "; ".join(f"{where} {what}" for where, what in problems.items())
        raise Away(f"no ResourceManager is there: {said}")

    async def _ask(self, method: str, path: str, body: object, limit: float) -> tuple[int, bytes]:
        asked = Deferred.fromCoroutine(self._send(method, path, body))
        asked.addTimeout(limit, self._reactor)
        try:
            return await asked
        except (ConnectError, DNSLookupError, RequestNotSent) as problem:
            raise _NotSent(f"cannot be reached ({_short(problem)})") from None
        except (ResponseFailed, RequestTransmissionFailed, CancelledError) as problem:
            raise _Cut(f"broke off ({_short(problem)})") from None
        except defer.TimeoutError:
            raise _Cut(f"did not answer within {limit:g} s") from None

    async def _send(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        headers: dict[bytes | str, bytes | str] = {"Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        response = await treq.request(
            method,
            f"{self.manager}{path}?user.name={quote(self._user, safe='')}",
            headers=headers,
            data=data,
            agent=self._agent,
            allow_redirects=False,
        )
        return response.code, await response.content()


def _path(name: str) -> str:
    return f"{_SERVICES}/{name}"


def _short(problem: Exception) -> str:
    return " ".join(str(problem).split())[:120] or type(problem).__name__
