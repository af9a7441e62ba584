"""Results: JSON that PostgreSQL's jsonb can store, at most 64 KiB of it.

Standard library only: the child processes that run work import this.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["RESULT_BYTES", "UnusableResult", "encode", "read"]

RESULT_BYTES = 64 * 1024
#: Every reader on the way has a limit of its own; this one is below all of them.
_DEPTH = 100


class UnusableResult(ValueError):
    """The result is no JSON value that the ledger can keep."""


def encode(value: Any) -> bytes:
    """Return the JSON of *value*.

    :raises UnusableResult: it has none, or one that jsonb does not take, or too much of it
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        data = text.encode()
    except UnicodeEncodeError:
        raise UnusableResult("the result has half a character (a lone surrogate)") from None
    except RecursionError:
        raise UnusableResult("the result is nested too deeply") from None
    except (TypeError, ValueError) as problem:
        raise UnusableResult(f"the result is no JSON value: {problem}") from None
    if len(data) > RESULT_BYTES:
        raise UnusableResult(
            f"the result is {len(data)} bytes of JSON, more than {RESULT_BYTES}: "
            "write it to a file and return the path"
        )
    # Most results are small and have nothing to look for: spare them the walk.
    if "\\u0000" in text or text.count("[") + text.count("{") > _DEPTH:
        _check(read(data), _DEPTH)
    return data


def read(data: bytes) -> Any:
    """Return the value of the JSON *data*.

    :raises UnusableResult: it is JSON but for NaN, Infinity or numbers out of range
    :raises ValueError: it is not JSON
    """
    try:
        return json.loads(data.decode(), parse_constant=_refuse)
    except RecursionError:
        raise UnusableResult("the result is nested too deeply") from None


def _refuse(constant: str) -> Any:
    raise UnusableResult(f"the result is no JSON value: JSON has no {constant}")


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise UnusableResult("the result has a NUL character, which the ledger cannot keep")
    elif isinstance(value, list | dict):
        if not depth:
            raise UnusableResult(f"the result is nested more than {_DEPTH} deep")
        for inner in value:
            _check(inner, depth - 1)
            if isinstance(value, dict):
                _check(value[inner], depth - 1)
