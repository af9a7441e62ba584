"""The live page: its files, and the first look at it, which needs no script."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

import attrs
import msgspec
from twisted.web.http_headers import Headers

from rtb.api.web import first_look

__all__ = ["HTML", "PAGE_HEADERS", "File", "PageFiles", "takes_gzip", "wants_html"]

HTML = "text/html; charset=utf-8"
PAGE_HEADERS = {
    "Vary": "Accept",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'",
}
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: What only those need who read the source: indentation, and lines that are a comment.
_ASIDES = re.compile(rb"^ +|^ *//.*\n|^ */\*\* .* \*/\n", re.MULTILINE)


def wants_html(headers: Headers) -> bool:
    """Say whether who asks names HTML: a browser does, and ``*/*`` does not."""
    accepted = ",".join(headers.getRawHeaders("Accept", []))
    kinds = (part.partition(";") for part in accepted.lower().split(","))
    return any(
        kind.strip() == "text/html" and "q=0" not in "".join(rest.split()).split(";")
        for kind, _, rest in kinds
    )


def takes_gzip(headers: Headers) -> bool:
    """Say whether who asks takes an answer compressed with gzip."""
    accepted = ",".join(headers.getRawHeaders("Accept-Encoding", [])).lower()
    return any(part.strip() in ("gzip", "gzip;q=1.0") for part in accepted.split(","))


@attrs.frozen
class File:
    """A file of the page."""

    content: bytes
    #: The same for those who take gzip.
    small: bytes
    kind: str
    tag: str


class PageFiles:
    """The files beside this one, read once."""

    def __init__(self) -> None:
        directory = files(f"{__package__}.page")
        self._files: dict[str, File] = {}
        for entry in directory.iterdir():
            kind = _KINDS.get(f".{entry.name.rpartition('.')[2]}")
            if kind is not None:
                content = _ASIDES.sub(b"", entry.read_bytes())
                tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
                self._files[entry.name] = File(
                    content, gzip.compress(content, 9, mtime=0), kind, tag
                )
        self._template = Template(directory.joinpath("index.html").read_text("utf-8"))

    def file(self, name: str) -> File | None:
        """Return the file *name*; None if there is none."""
        return self._files.get(name)

    def render(self, picture: Mapping[str, Any]) -> bytes:
        """Return the page that shows *picture*."""
        state = msgspec.json.encode(picture).decode()
        # Inside of a script element only this could end it.
        state = state.replace("<", "\\u003c").replace("\u2028", "\\u2028")
        pieces = {name: look(picture) for name, look in first_look.PIECES.items()}
        return self._template.substitute(pieces, state=state).encode()
