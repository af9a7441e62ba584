"""Frames of the live feed, as bytes: each encoded once, however many look."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["FRAME_BYTES", "PING", "encode", "frame", "stamped"]

#: What a frame may have at most; the agents and orders that are too many for it are left out.
FRAME_BYTES = 8 * 1024
#: Keeps proxies from closing a stream on which nothing happens.
PING = b": ping\n\n"
_HEAD = 200

_encoder = msgspec.json.Encoder()


def encode(picture: dict[str, Any]) -> bytes:
    """Return *picture* as JSON that fits into a frame."""
    body = _encoder.encode(picture)
    keep = 8
    while len(body) + _HEAD > FRAME_BYTES and keep:
        short = {name: picture[name][:keep] for name in ("agents", "orders", "attention", "ticker")}
        body = _encoder.encode({**picture, **short})
        keep //= 2
    return body


def stamped(body: bytes, at: int) -> bytes:
    """Return the object *body* with the time *at* in it: what does not change is encoded once."""
    return b'{"at":%d,%b' % (at, body[1:])


def frame(event: str, data: bytes, identity: str = "") -> bytes:
    """Return an event of a stream."""
    head = f"id: {identity}\nevent: {event}\n" if identity else f"event: {event}\n"
    return b"%bdata: %b\n\n" % (head.encode(), data)
