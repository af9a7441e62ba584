"""The parameters of a request, each checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

from twisted.web.http_headers import Headers

from rtb.api.web.problem import Problem, not_found
from rtb.model.lifecycle import Status

__all__ = ["Query", "id_in_path", "idempotency_key"]

_KEY = re.compile(r"[!-~][ -~]{0,254}")
_ID = re.compile(r"[1-9][0-9]{0,18}")
_LARGEST = 2**63 - 1
_LIMIT_MAX = 1000
_WAIT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)s?")
_WAIT_MAX = 60


def id_in_path(text: str, what: str) -> int:
    """Return the id that *text* is.

    :raises Problem: 404, there can be no such thing
    """
    if not _ID.fullmatch(text) or int(text) > _LARGEST:
        raise not_found(f"{what} of that id")
    return int(text)


def idempotency_key(headers: Headers) -> str | None:
    """Return the client's own name for its request, by which it is done only once.

    :raises Problem: 400, it is no usable one
    """
    keys = headers.getRawHeaders("Idempotency-Key", [])
    if not keys:
        return None
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise Problem(
            HTTPStatus.BAD_REQUEST, "an Idempotency-Key has 1 to 255 printable ASCII characters"
        )
    return keys[0]


class Query:
    """What follows the ``?``; a name that is not *known*, or given twice, is refused."""

    def __init__(
        self, args: Mapping[bytes, list[bytes]], *known: str, many: tuple[str, ...] = ()
    ) -> None:
        self._values: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}
        for name, values in args.items():
            text = name.decode("ascii", "replace")
            if text not in known:
                raise _bad(text[:80], f"not known here; known: {', '.join(known) or 'none'}")
            if text in many:
                self._lists[text] = [value.decode("utf-8", "replace") for value in values]
            elif len(values) != 1:
                raise _bad(text, "given twice")
            else:
                self._values[text] = values[0].decode("utf-8", "replace")

    def texts(self) -> dict[str, str]:
        """Return all parameters that are there once, as they came."""
        return dict(self._values)

    def text(self, name: str) -> str | None:
        """Return the parameter *name* as it came."""
        return self._values.get(name)

    def pairs(self, name: str) -> dict[str, str]:
        """Return what is written ``name=KEY:VALUE``, any number of times."""
        pairs: dict[str, str] = {}
        for text in self._lists.get(name, []):
            key, found, value = text.partition(":")
            if not found or key in pairs:
                raise _bad(name, "must be KEY:VALUE, each key once")
            pairs[key] = value
        return pairs

    def switch(self, name: str, default: bool) -> bool:
        """Return whether *name* is true."""
        text = self._values.get(name)
        if text is None:
            return default
        if text not in ("true", "false"):
            raise _bad(name, "must be true or false")
        return text == "true"

    def limit(self, default: int) -> int:
        """Return how many rows to show."""
        text = self._values.get("limit")
        if text is None:
            return default
        if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= _LIMIT_MAX:
            return int(text)
        raise _bad("limit", f"must be a whole number from 1 to {_LIMIT_MAX}")

    def cursor(self) -> int | None:
        """Return where the page begins."""
        text = self._values.get("cursor")
        if text is None:
            return None
        if _ID.fullmatch(text) and int(text) <= _LARGEST:
            return int(text)
        raise _bad("cursor", "must be what the page before said")

    def choice(self, name: str, *known: str) -> str:
        """Return the parameter *name*, the first of *known* where it is not given."""
        text = self._values.get(name, known[0])
        if text not in known:
            raise _bad(name, f"must be one of {', '.join(known)}")
        return text

    def order(self) -> int | None:
        """Return the order whose units are wanted, too."""
        text = self._values.get("order")
        if text is None:
            return None
        if _ID.fullmatch(text) and int(text) <= _LARGEST:
            return int(text)
        raise _bad("order", "must be the id of an order")

    def wait(self) -> float:
        """Return for how many seconds to wait; 0 for not at all."""
        text = self._values.get("wait")
        if text is None:
            return 0.0
        if (found := _WAIT.fullmatch(text)) and float(found[1]) <= _WAIT_MAX:
            return float(found[1])
        raise _bad("wait", f"must be seconds, as 30 or 30s, at most {_WAIT_MAX}")

    def status(self) -> str | None:
        """Return the status that units are to have."""
        text = self._values.get("status")
        if text is None:
            return None
        try:
            return Status(text).value
        except ValueError:
            raise _bad("status", f"must be one of {', '.join(Status)}") from None


def _bad(name: str, why: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, f"parameter {name!r}: {why}", parameter=name)
