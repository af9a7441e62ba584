"""Messages as bytes: read with care, and cut to a size that fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from rtb.errors import RtbError
from rtb.model.names import BadNameError, check_box
from rtb.model.wire.messages import (
    VERSION,
    Barrier,
    Control,
    Message,
    Out,
    Report,
    Roll,
    Status,
    Track,
    Work,
)

__all__ = [
    "LARGEST_BYTES",
    "MESSAGE_BYTES",
    "MESSAGE_UNITS",
    "NewerVersionError",
    "WireError",
    "decode",
    "encode",
    "parts",
]

#: Messages are cut at this many bytes of units ...
MESSAGE_BYTES = 128 * 1024
#: ... and at this many units.
MESSAGE_UNITS = 2000
#: Nothing longer is read. Beyond its units a report names every agent, some hundred bytes each.
LARGEST_BYTES = 4 * 1024 * 1024
_M = TypeVar("_M")


class WireError(RtbError):
    """A message that cannot be read: it belongs in the queue ``dead``, with this reason."""


class NewerVersionError(RtbError):
    """A message of a newer schema version: leave it unacked and say so; upgrade this role."""


class _Head(msgspec.Struct):
    v: int


_encoder = msgspec.json.Encoder()
_head = msgspec.json.Decoder(_Head)
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    "out": msgspec.json.Decoder(Out),
    "track": msgspec.json.Decoder(Track),
    "roll": msgspec.json.Decoder(Roll),
    "work": msgspec.json.Decoder(Work),
    "status.queued": msgspec.json.Decoder(Report),
    "status": msgspec.json.Decoder(Status),
    "control": msgspec.json.Decoder(Control),
    "barrier": msgspec.json.Decoder(Barrier),
}
_LARGEST = 2**63 - 1


def encode(message: Message) -> bytes:
    """Return *message* as JSON."""
    return _encoder.encode(message)


def decode(routing_key: str, body: bytes) -> Message:
    """Return the message that *body* is, by the routing key that it came with.

    :raises NewerVersionError: it is of a later schema version than this code
    :raises WireError: it is no message, or not one that the routing key promises
    """
    decoder = _decoders.get(routing_key) or _decoders.get(routing_key.partition(".")[0])
    if decoder is None:
        raise WireError(f"no message travels by {routing_key[:80]!r}")
    if len(body) > LARGEST_BYTES:
        raise WireError(f"longer than {LARGEST_BYTES} bytes")
    try:
        message: Message = decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        if _version(body) > VERSION:
            raise NewerVersionError(f"schema version {_version(body)}") from problem
        raise WireError(str(problem)) from problem
    if message.v > VERSION:
        raise NewerVersionError(f"schema version {message.v}")
    if message.v < 1:
        raise WireError(f"no schema version {message.v}")
    _check(routing_key, message)
    return message


def _version(body: bytes) -> int:
    try:
        return _head.decode(body).v
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 0


def _check(routing_key: str, message: Message) -> None:
    if isinstance(message, Status) and routing_key != f"status.{message.kind}":
        raise WireError(f"a {message.kind} came by {routing_key[:80]!r}")
    if isinstance(message, Report):
        _check_box(message.box)
        if len({agent.agent for agent in message.agents}) < len(message.agents):
            raise WireError("an agent is in it twice")
    if isinstance(message, Barrier) and not -_LARGEST <= message.epoch <= _LARGEST:
        raise WireError("no epoch is that large")


def _check_box(box: str) -> None:
    try:
        check_box(box)
    except BadNameError as problem:
        raise WireError(str(problem)) from problem


def parts(entries: Iterable[_M]) -> Iterator[list[_M]]:
    """Yield *entries* in lists that fit a message each: by bytes of JSON and by count."""
    whole = list(entries)
    if len(whole) <= MESSAGE_UNITS and len(_encoder.encode(whole)) <= MESSAGE_BYTES:
        # Nearly always: then nothing is measured entry by entry.
        if whole:
            yield whole
        return
    part: list[_M] = []
    size = 0
    for entry in whole:
        length = len(_encoder.encode(entry))
        if part and (size + length > MESSAGE_BYTES or len(part) == MESSAGE_UNITS):
            yield part
            part, size = [], 0
        part.append(entry)
        size += length
    yield part
