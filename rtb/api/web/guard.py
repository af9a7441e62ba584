"""Who may ask: loopback is no boundary while a browser runs on the machine.

A page of anybody's can point its own name at 127.0.0.1 (so the Host is checked), and can make the
browser send a GET (so whatever changes something checks where the request comes from).
"""

from __future__ import annotations

import re
from http import HTTPStatus

from twisted.web.http_headers import Headers

from rtb.api.web.problem import Problem
from rtb.settings import Settings

__all__ = ["Guard", "check_body_type", "check_origin"]

_HOST = re.compile(rb"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\]|(?=:))(?::[0-9]{1,5})?\Z")
#: The empty one is what becomes of ``curl :8080`` where that works; no browser has it.
_ALWAYS = frozenset({"localhost", "127.0.0.1", "[::1]", ""})
_FOREIGN_SITES = frozenset({b"cross-site", b"same-site"})


class Guard:
    """Knows the names that this API answers to."""

    def __init__(self, settings: Settings) -> None:
        name = settings.api_host.host.lower()
        self._names = _ALWAYS | {f"[{name}]" if ":" in name else name}
        self._any = settings.trusted_network

    def check_host(self, version: bytes, headers: Headers) -> None:
        """Refuse a request that was meant for somebody else.

        :raises Problem: 400 without a usable Host, 421 with a strange one
        """
        hosts = headers.getRawHeaders(b"Host", [])
        if not hosts and version == b"HTTP/1.0":
            return
        found = _HOST.match(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            raise Problem(HTTPStatus.BAD_REQUEST, "a request has exactly one Host header")
        if not self._any and found[1].decode().lower() not in self._names:
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this API does not answer to that Host: ask for localhost or the name in "
                "RTB_API_HOST, or set RTB_TRUSTED_NETWORK=1 on its side",
            )


def check_origin(headers: Headers) -> None:
    """Refuse to change anything for a page of another site, or for a look ahead.

    curl and programs send none of these headers.

    :raises Problem: 403
    """
    for name in (b"Sec-Purpose", b"Purpose", b"X-Moz"):
        if any(b"prefetch" in value.lower() for value in headers.getRawHeaders(name, [])):
            raise Problem(HTTPStatus.FORBIDDEN, "this changes something: not done for a prefetch")
    sites = {value.lower() for value in headers.getRawHeaders(b"Sec-Fetch-Site", [])}
    if sites & _FOREIGN_SITES or not _is_own(headers):
        raise Problem(HTTPStatus.FORBIDDEN, "this changes something: not done for another site")


def _is_own(headers: Headers) -> bool:
    host = headers.getRawHeaders(b"Host", [b""])[0].lower()
    own = (b"http://" + host, b"https://" + host)
    return all(origin.lower() in own for origin in headers.getRawHeaders(b"Origin", []))


def check_body_type(headers: Headers, *, empty: bool, may_be_empty: bool) -> None:
    """Refuse a body that does not say that it is JSON.

    A form of another site can send anything but that without asking its browser.

    :raises Problem: 415
    """
    if empty and may_be_empty:
        return
    types = headers.getRawHeaders(b"Content-Type", [])
    kind, *parameters = [part.strip().lower() for part in types[0].split(b";")] if types else [b""]
    plain = not headers.hasHeader(b"Content-Encoding")
    utf8 = all(part in (b"charset=utf-8", b'charset="utf-8"', b"") for part in parameters)
    if len(types) != 1 or kind != b"application/json" or not utf8 or not plain:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "send JSON: Content-Type: application/json, in UTF-8, not compressed",
            {"Accept": "application/json"},
        )
