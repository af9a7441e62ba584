"""Errors as people and programs get them: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from rtb.api.web.asking import Late
from rtb.api.web.desk import BoxInUseError
from rtb.errors import RtbError
from rtb.model.orders import BadOrderError

__all__ = ["Problem", "explain", "not_found"]

_RETRY_SOON = {"Retry-After": "1"}


class Problem(Exception):
    """An answer that is an error."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def body(self, request_id: str) -> bytes:
        """Return this problem as JSON; *request_id* finds the log line that belongs to it."""
        members: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
            **self.members,
            "request": request_id,
        }
        return msgspec.json.encode(members) + b"\n"


def not_found(what: str) -> Problem:
    """Return the problem that there is no *what*."""
    return Problem(HTTPStatus.NOT_FOUND, f"there is no {what}")


def explain(error: BaseException | None) -> Problem | None:
    """Return the problem that *error* is for who asked; None where it is a defect of rtb."""
    match error:
        case Problem():
            return error
        case BadOrderError():
            status = HTTPStatus.BAD_REQUEST if error.malformed else HTTPStatus.UNPROCESSABLE_ENTITY
            return Problem(status, str(error), pointer=error.pointer)
        case BoxInUseError():
            return Problem(HTTPStatus.CONFLICT, str(error))
        case MethodNotAllowed():
            allowed = ", ".join(sorted(error.valid_methods or ()))
            return Problem(HTTPStatus.METHOD_NOT_ALLOWED, f"use {allowed} here", {"Allow": allowed})
        case HTTPException():
            # Of the router: it found nothing here.
            return not_found("such resource")
        case Late():
            return Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "that took too long; if it was to change something, it may still come about",
                _RETRY_SOON,
            )
        case RtbError() if error.retryable:
            return Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "something that this needs is away at the moment: try again",
                _RETRY_SOON,
            )
    return None
