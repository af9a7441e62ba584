"""Bodies that are taken while they come: how a request's pieces reach the desk.

Everything that can be refused by the headers alone is refused before the first piece is read.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import parse_qs
from twisted.web.http_headers import Headers

from rtb.api.web.guard import Guard, check_origin
from rtb.api.web.problem import Problem, explain
from rtb.api.web.query import Query, idempotency_key
from rtb.errors import RtbError
from rtb.model.intake import KINDS
from rtb.model.orders import BadOrderError, NewOrder, read_head

if TYPE_CHECKING:
    from rtb.api.web.desk import Desk, Load

__all__ = ["Sender", "Uploads", "streamed_kind"]

_PARAMETERS = (
    "account",
    "name",
    "workload",
    "priority",
    "label",
    "not_before",
    "max_failures",
    "time_limit",
    "atomic",
)

log = Logger()


class Sender(Protocol):
    """Where the pieces come from: the connection."""

    def hold_back(self, full: bool) -> None:
        """Let no more come for a while, or let it come again."""

    def refuse(self, problem: Problem) -> None:
        """Answer at once, in the middle of the body."""


def streamed_kind(headers: Headers) -> str:
    """Return the media type of a body that is taken as it comes; empty for every other one."""
    types = headers.getRawHeaders("Content-Type", [])
    kind = types[0].split(";")[0].strip().lower() if len(types) == 1 else ""
    return kind if kind in KINDS else ""


class Uploads:
    """Begins an upload where the headers ask for one."""

    def __init__(self, desk: Desk, guard: Guard) -> None:
        self._desk = desk
        self._guard = guard

    def begin(self, version: bytes, uri: bytes, headers: Headers, sender: Sender) -> Load:
        """Return the upload that a POST to /orders with a streamed body is.

        :raises Problem: it is refused
        """
        try:
            self._guard.check_host(version, headers)
            check_origin(headers)
            _check_plain(headers)
            query = uri.partition(b"?")[2]
            order, atomic = _head(Query(parse_qs(query, True), *_PARAMETERS, many=("label",)))
            kind = streamed_kind(headers)
            return self._desk.load(
                order,
                kind,
                about=b"\n".join((kind.encode(), query, b"")),
                atomic=atomic,
                key=idempotency_key(headers),
                hold_back=sender.hold_back,
                refuse=lambda failure: sender.refuse(_explained(failure)),
            )
        except (BadOrderError, RtbError) as error:
            problem = explain(error)
            if problem is None:
                raise
            raise problem from error


def _check_plain(headers: Headers) -> None:
    parameters = headers.getRawHeaders("Content-Type", [""])[0].lower().split(";")[1:]
    utf8 = all(part.strip() in ("charset=utf-8", 'charset="utf-8"', "") for part in parameters)
    if headers.hasHeader("Content-Encoding") or not utf8:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it in UTF-8, not compressed")


def _head(query: Query) -> tuple[NewOrder, bool]:
    values: dict[str, Any] = query.texts()
    atomic = query.switch("atomic", True)
    values.pop("atomic", None)
    labels = query.pairs("label")
    return read_head({**values, "labels": labels}), atomic


def _explained(failure: Failure) -> Problem:
    problem = explain(failure.value)
    if problem is None:
        log.failure("an upload failed", failure=failure)
        problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a defect of rtb: its log says more")
    return problem
