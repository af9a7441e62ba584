"""Strict reading of JSON that people send: what PostgreSQL or a reader downstream would choke on.

The standard reader lets duplicate keys, ``NaN``, numbers of any size and lone surrogates through;
here each of them is refused, with the place as a JSON pointer (RFC 6901).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from rtb.errors import RtbError

__all__ = ["BadJsonError", "depth", "pointer_to", "read_json"]

_LARGEST = 2**63
#: Text without these escapes holds neither NUL nor half of a surrogate pair.
_SUSPICIOUS = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)
_UNWANTED = re.compile("[\x00\ud800-\udfff]")


class BadJsonError(RtbError):
    """JSON that rtb does not take; ``pointer`` is the place."""

    def __init__(self, why: str, pointer: str = "", *, malformed: bool = False) -> None:
        super().__init__(why)
        self.pointer = pointer
        #: Is it no JSON at all, in the strict sense? Otherwise it is, with a value rtb refuses.
        self.malformed = malformed


def pointer_to(*steps: str | int) -> str:
    """Return the JSON pointer that leads along *steps*."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def read_json(body: bytes) -> Any:
    """Return the value that *body* is.

    :raises BadJsonError: it is not JSON, or holds what rtb does not take
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as problem:
        why = f"the body is not UTF-8 at byte {problem.start}"
        raise BadJsonError(why, malformed=True) from None
    try:
        try:
            value = _strict(text)
        except BadJsonError as problem:
            problem.pointer = _place(text)  # what comes after the value may be no JSON
            raise
    except json.JSONDecodeError as problem:
        raise BadJsonError(f"not JSON: {problem}", malformed=True) from None
    except RecursionError:
        raise BadJsonError("nested too deep", malformed=True) from None
    if _SUSPICIOUS.search(text):
        _check_strings(value)
    return value


def _strict(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_object,
        parse_constant=_constant,
        parse_int=_integer,
        parse_float=_float,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJsonError("a key is there twice in one object", malformed=True)
    return found


def _constant(word: str) -> NoReturn:
    raise BadJsonError(f"{word} is not JSON", malformed=True)


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else _LARGEST
    if not -_LARGEST <= value < _LARGEST:
        raise BadJsonError("an integer does not fit 64 bits: write it as a string")
    return value


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise BadJsonError("a number does not fit a double: write it as a string")
    return value


class _Refused:
    """Stands where a value was refused."""


def _place(text: str) -> str:
    """Return where the first value is that :func:`_strict` refuses."""

    def marking(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def read_or_mark(what: Any) -> Any:
            try:
                return read(what)
            except BadJsonError:
                return _Refused()

        return read_or_mark

    value = json.loads(
        text,
        object_pairs_hook=marking(_object),
        parse_constant=marking(_constant),
        parse_int=marking(_integer),
        parse_float=marking(_float),
    )
    places = (steps for steps, below in _walk(value) if isinstance(below, _Refused))
    return pointer_to(*next(places, ()))


def _walk(value: Any) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield each value within *value*, and itself, with the steps that lead there."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        steps, value = waiting.pop()
        yield steps, value
        if isinstance(value, dict):
            waiting += [((*steps, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [((*steps, index), below) for index, below in enumerate(value)]


def _check_strings(value: Any) -> None:
    for steps, below in _walk(value):
        texts = below if isinstance(below, dict) else [below] if isinstance(below, str) else ()
        if any(_UNWANTED.search(text) for text in texts):
            why = "a string holds NUL or half of a surrogate pair"
            raise BadJsonError(why, pointer_to(*steps))


def depth(value: Any) -> int:
    """Return how deep objects and arrays are nested in *value*; 0 for a plain one."""
    deepest, level = 0, [value]
    while level := [below for above in level for below in _below(above)]:
        deepest += 1
        level = [value for value in level if value is not None]
    return deepest


def _below(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values(), None]
    return [*value, None] if isinstance(value, list) else []
