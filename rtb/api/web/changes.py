"""What people send to change orders, units and accounts, read and checked."""

from __future__ import annotations

from typing import Annotated, TypeVar

import attrs
import msgspec

from rtb.model.json_text import BadJsonError, read_json
from rtb.model.lifecycle import Status
from rtb.model.names import BadNameError, check_account
from rtb.model.orders import NAME_MAX, BadOrderError
from rtb.model.verbs import Filter, Verb

__all__ = ["Account", "Change", "read_account", "read_change"]

_WHY_MAX = 500
_CAP_MAX = 10**15
_T = TypeVar("_T")


@attrs.frozen
class Change:
    """What a verb is to do."""

    filter: Filter
    expect_count: int | None
    why: str
    priority: int


@attrs.frozen
class Account:
    """What an account is to have; None leaves it."""

    weight: float | None
    cap: int | None
    #: A cap of null takes the cap away.
    sets_cap: bool


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    why: Annotated[str, msgspec.Meta(max_length=_WHY_MAX)] = ""
    priority: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class _UnitsChange(_Change, forbid_unknown_fields=True):
    status: list[Status] | Status = []
    prefix: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_MAX)] | None = None
    unit: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None = None
    expect_count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    priority: Annotated[int, msgspec.Meta(ge=-(2**15), lt=2**15)] | msgspec.UnsetType = (
        msgspec.UNSET
    )


class _Account(msgspec.Struct, forbid_unknown_fields=True):
    weight: Annotated[float, msgspec.Meta(ge=0.001, le=1_000_000)] | None = None
    cap: Annotated[int, msgspec.Meta(ge=0, le=_CAP_MAX)] | msgspec.UnsetType | None = msgspec.UNSET


def read_change(body: bytes, verb: Verb, *, of_units: bool = False) -> Change:
    """Return what *body* says about *verb*; an empty one says nothing.

    :raises BadOrderError: it cannot be done so
    """
    asked = _read(body or b"{}", _UnitsChange if of_units else _Change)
    if (verb is Verb.PRIORITY) != (asked.priority is not msgspec.UNSET):
        raise BadOrderError(
            "say which priority" if verb is Verb.PRIORITY else "only priority has a priority",
            "/priority",
        )
    priority = 0 if asked.priority is msgspec.UNSET else asked.priority
    if not isinstance(asked, _UnitsChange):
        return Change(Filter(), None, asked.why, priority)
    statuses = frozenset(asked.status if isinstance(asked.status, list) else [asked.status])
    chosen = Filter(statuses, asked.prefix, asked.unit)
    return Change(chosen, asked.expect_count, asked.why, priority)


def read_account(name: str, body: bytes) -> Account:
    """Return what the account *name* is to have.

    :raises BadOrderError: it cannot have that
    """
    try:
        check_account(name)
    except BadNameError as problem:
        raise BadOrderError(str(problem)) from None
    asked = _read(body, _Account)
    sets_cap = asked.cap is not msgspec.UNSET
    return Account(asked.weight, None if asked.cap is msgspec.UNSET else asked.cap, sets_cap)


def _read(body: bytes, kind: type[_T]) -> _T:
    try:
        read_json(body)
        return msgspec.json.decode(body, type=kind)
    except BadJsonError as problem:
        raise BadOrderError(str(problem), problem.pointer, malformed=problem.malformed) from None
    except msgspec.ValidationError as problem:
        why, _, path = str(problem).partition(" - at `$.")
        raise BadOrderError(
            f"{why[:1].lower()}{why[1:]}", f"/{path[:-1]}" if path else ""
        ) from None
