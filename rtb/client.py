"""The public client: what the API offers, as coroutines.

Nothing is sent twice by itself. Whoever repeats a call that changed something knows why: an order
whose answer was lost may have been placed.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from twisted.internet import defer
from twisted.web.http_headers import Headers

from rtb.errors import RtbError

_T = TypeVar("_T")

__all__ = [
    "ApiUnreachableError",
    "Client",
    "ClientError",
    "LeaderState",
    "LineError",
    "Summary",
    "Units",
]

#: The API itself takes at most 2 s for what an answer waits for.
_TIMEOUT = 10.0
#: An upload may be of any size.
_UPLOAD_TIMEOUT = 24 * 3600.0
_HEADERS = Headers({"accept": ["application/json"], "content-type": ["application/json"]})


class LineError(msgspec.Struct, frozen=True):
    """A line of an order that the API does not take."""

    line: int
    reason: str


class ClientError(RtbError):
    """The API refused a request."""

    def __init__(
        self, status: int, title: str, detail: str = "", errors: Sequence[LineError] = ()
    ) -> None:
        told = "".join(f"\n  line {error.line}: {error.reason}" for error in errors)
        super().__init__((f"{title}: {detail}" if detail else title) + told)
        self.status = status
        self.title = title
        self.detail = detail


class ApiUnreachableError(RtbError):
    """The API does not answer. What was asked for may have happened or not."""

    retryable = True


class Units(msgspec.Struct, frozen=True):
    """How many units there are, by status."""

    waiting: int
    sent: int
    queued: int
    processing: int
    success: int
    error: int
    cancelled: int
    total: int

    @property
    def settled(self) -> int:
        """How many have come to their end."""
        return self.success + self.error + self.cancelled


class LeaderState(msgspec.Struct, frozen=True):
    """What one leader said of itself."""

    box: str
    state: str
    capacity: int
    queued: int
    utilization: float
    agents: int
    slots: int
    busy: int
    sent: int = 0
    #: What its launcher does, and the agents that it launched; empty where it has none.
    launcher: dict[str, Any] = {}
    launched: list[dict[str, Any]] = []


class Summary(msgspec.Struct, frozen=True):
    """What ``GET /`` says."""

    units: Units
    going: bool
    leaders: list[LeaderState]


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""
    errors: list[LineError] = []


class Client:
    """The API at *base_url*. Call :meth:`close` at the end."""

    def __init__(self, base_url: str, reactor: Any) -> None:
        # Here because these are slow to import, and not every command of rtb needs them.
        from treq.client import HTTPClient
        from twisted.web.client import Agent, HTTPConnectionPool

        self._base = base_url.rstrip("/")
        self._pool = HTTPConnectionPool(reactor)
        # Left on, a GET whose connection was lost goes out again, though the API may have got it.
        self._pool.retryAutomatically = False
        self._http = HTTPClient(Agent(reactor, connectTimeout=_TIMEOUT, pool=self._pool))
        self._reactor = reactor

    async def close(self) -> None:
        """Close idle connections."""
        await self._pool.closeCachedConnections()

    async def status(self) -> Summary:
        """Return the summary of everything."""
        return msgspec.convert(await self._ask("GET", "/"), Summary)

    async def go(self) -> None:
        """Start the wheels."""
        await self._ask("POST", "/go/")

    async def stop(self) -> None:
        """Stop claiming units; what is on its way finishes."""
        await self._ask("POST", "/stop/")

    async def next(self, limit: int | None = None) -> Any:
        """Return the units that are first in line."""
        return await self._ask("GET", "/next", {"limit": limit})

    async def place(self, order: Mapping[str, Any]) -> Any:
        """Place *order* and return what the API says of it: its id, and what to do next."""
        return await self._ask("POST", "/orders", body=order)

    async def place_lines(
        self,
        body: Any,
        kind: str = "text/plain",
        *,
        key: str | None = None,
        query: Mapping[str, str | list[str]] | None = None,
    ) -> Any:
        """Place an order whose units come as lines (of JSON with ``application/x-ndjson``, CSV).

        :param body: bytes, an open binary file, or a body producer of Twisted's
        :param key: sent again with the same body, it is placed only once
        :param query: ``account``, ``name``, ``workload``, ``atomic``, a list of ``label`` and so on
        """
        headers = Headers({"accept": ["application/json"], "content-type": [kind]})
        if key is not None:
            headers.addRawHeader("idempotency-key", key)
        code, answer = await self._reached(
            self._exchange("POST", "/orders", dict(query or {}), body, headers), _UPLOAD_TIMEOUT
        )
        if code >= 400:
            raise _refusal(code, answer)
        return msgspec.json.decode(answer)

    async def orders(
        self,
        *,
        limit: int | None = None,
        cursor: str | int | None = None,
        account: str | None = None,
        loading: bool = False,
    ) -> Any:
        """Return a page of the orders: all, those of *account*, or those that still load."""
        query = {"limit": limit, "cursor": cursor, "account": account}
        return await self._ask("GET", "/orders", query | ({"loading": "true"} if loading else {}))

    async def order(self, order: int, *, wait: float | None = None) -> Any:
        """Return one order with its counts.

        :param wait: seconds, at most 60, that the API may take until the order is done
        """
        query = {} if wait is None else {"wait": f"{wait:g}"}
        limit = _TIMEOUT + (wait or 0.0)
        return await self._ask("GET", f"/orders/{order}", query, limit=limit)

    async def agents(self) -> Any:
        """Return the agents that the ledger knows."""
        return await self._ask("GET", "/agents")

    async def all_units(
        self, order: int, received: Callable[[bytes], None], *, status: str | None = None
    ) -> None:
        """Hand all units of *order* to *received*, as JSON lines, in pieces as they come."""
        query = {"status": status} if status else {}
        await self._reached(self._stream(f"/orders/{order}/units", query, received), None)

    async def forecast(self, order: int) -> Any:
        """Return when *order* goes on and ends, and why it waits."""
        return await self._ask("GET", f"/orders/{order}/forecast")

    async def fair(self) -> Any:
        """Return what each account has and what is due to it."""
        return await self._ask("GET", "/fair")

    async def change_order(self, order: int, verb: str, **how: object) -> Any:
        """Do *verb* (cancel, hold, release, retry, priority) to *order*; its units follow."""
        return await self._ask("POST", f"/orders/{order}/{verb}", body=how)

    async def change_units(self, order: int, verb: str, **how: object) -> Any:
        """Do *verb* to the units of *order* that a filter finds.

        Without ``expect_count`` they are only counted.
        """
        return await self._ask("POST", f"/orders/{order}/units/{verb}", body=how)

    async def set_account(self, account: str, **has: object) -> Any:
        """Give *account* a weight, a cap on its open units, or both."""
        from urllib.parse import quote

        return await self._ask("POST", f"/accounts/{quote(account, safe='')}", body=has)

    async def units(
        self,
        order: int,
        *,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | int | None = None,
    ) -> Any:
        """Return a page of the units of *order*."""
        query = {"status": status, "limit": limit, "cursor": cursor}
        return await self._ask("GET", f"/orders/{order}/units", query)

    async def unit(self, unit: int) -> Any:
        """Return one unit with its history."""
        return await self._ask("GET", f"/units/{unit}")

    async def drain(self, agent: str) -> Any:
        """Let the agent with the id *agent* take nothing new, finish what it runs, and end."""
        from urllib.parse import quote

        return await self._ask("POST", f"/agents/{quote(agent, safe='')}/drain")

    async def forget(self, box: str) -> Any:
        """Forget the box *box* and its queues; its leader must be away."""
        return await self._ask("DELETE", f"/leaders/{box}")

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | None] | None = None,
        body: object = None,
        limit: float = _TIMEOUT,
    ) -> Any:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        content = None if body is None else msgspec.json.encode(body)
        code, answer = await self._reached(self._exchange(method, path, given, content), limit)
        if code >= 400:
            raise _refusal(code, answer)
        return msgspec.json.decode(answer) if answer else None

    async def _exchange(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | list[str]],
        content: Any,
        headers: Headers = _HEADERS,
    ) -> tuple[int, bytes]:
        response = await self._http.request(
            method,
            self._base + path,
            params=query,
            headers=headers,
            data=content,
            reactor=self._reactor,
        )
        return response.code, await response.content()

    async def _stream(
        self, path: str, query: dict[str, str], received: Callable[[bytes], None]
    ) -> None:
        headers = Headers({"accept": ["application/x-ndjson"]})
        asked = self._http.request(
            "GET", self._base + path, params=query, headers=headers, reactor=self._reactor
        )
        response = await asked.addTimeout(_TIMEOUT, self._reactor)
        if response.code >= 400:
            raise _refusal(response.code, await response.content())
        await response.collect(received)

    async def _reached(
        self,
        exchange: Coroutine[defer.Deferred[Any], Any, _T],
        limit: float | None = _TIMEOUT,
    ) -> _T:
        from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
        from twisted.web._newclient import RequestNotSent, RequestTransmissionFailed
        from twisted.web.client import ResponseFailed

        try:
            answer = defer.Deferred.fromCoroutine(exchange)
            if limit is not None:
                answer.addTimeout(limit, self._reactor)
            return await answer
        except ResponseFailed as problem:
            # A caller who cancelled does not want to hear that the connection was lost by it.
            if any(reason.check(defer.CancelledError) for reason in problem.reasons):
                raise defer.CancelledError from problem
            raise self._unreachable(problem) from problem
        except (
            ConnectError,
            ConnectionClosed,
            DNSLookupError,
            RequestNotSent,
            RequestTransmissionFailed,
            defer.TimeoutError,
        ) as problem:
            raise self._unreachable(problem) from problem

    def _unreachable(self, problem: Exception) -> ApiUnreachableError:
        why = str(problem) or type(problem).__name__
        return ApiUnreachableError(f"no answer from {self._base}: {why}")


def _refusal(code: int, answer: bytes) -> ClientError:
    try:
        problem = msgspec.json.decode(answer, type=_Problem)
    except msgspec.DecodeError:
        # Something between us and the API answered in its place.
        problem = _Problem(detail=answer[:200].decode(errors="replace").strip())
    title = problem.title or f"HTTP {code}"
    return ClientError(code, title, problem.detail, problem.errors)
