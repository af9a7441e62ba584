"""Orders, as people place them: what is taken and what is refused, with the exact place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from rtb.errors import RtbError
from rtb.model.json_text import BadJsonError, depth, pointer_to, read_json
from rtb.model.names import BadNameError, check_account, check_workload

__all__ = [
    "DEPTH_MAX",
    "NAME_MAX",
    "PAYLOAD_BYTES",
    "UNITS_MAX",
    "BadOrderError",
    "NewOrder",
    "NewUnit",
    "read_order",
]

PAYLOAD_BYTES = 64 * 1024
DEPTH_MAX = 20
UNITS_MAX = 100_000
NAME_MAX = 255
_NOTHING = b"null"
_PLACE = re.compile(r"(?P<why>.*?)(?: - at `\$(?P<path>.*)`)?\Z", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.([a-z_]+)|\[(\d+)\]")


class BadOrderError(RtbError):
    """An order that rtb does not take; ``pointer`` is the place, as a JSON pointer."""

    def __init__(self, why: str, pointer: str = "", *, malformed: bool = False) -> None:
        super().__init__(why)
        self.pointer = pointer
        #: Is it no JSON at all? Otherwise it is JSON, but no order.
        self.malformed = malformed


class NewUnit(msgspec.Struct, frozen=True):
    """One unit of an order to place."""

    #: Empty when it has none.
    name: str = ""
    #: JSON on one line.
    payload: bytes = _NOTHING


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order to place: checked, nothing of it stored yet."""

    account: str = "default"
    name: str | None = None
    workload: str = "default"
    #: Inside its account; higher goes first.
    priority: int = 0
    units: list[NewUnit]


class _Unit(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    payload: msgspec.Raw = msgspec.Raw(_NOTHING)


class _Order(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    account: str = "default"
    name: str | None = None
    workload: str = "default"
    priority: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] = 0
    units: Annotated[list[_Unit | str], msgspec.Meta(min_length=1, max_length=UNITS_MAX)]


_decoder = msgspec.json.Decoder(_Order)


def read_order(body: bytes) -> NewOrder:
    """Return the order that *body* describes.

    :raises BadOrderError: it describes none, or one that rtb does not take
    """
    try:
        values = read_json(body)
    except BadJsonError as problem:
        raise BadOrderError(str(problem), problem.pointer, malformed=problem.malformed) from None
    try:
        order = _decoder.decode(body)
    except msgspec.ValidationError as problem:
        raise _refusal(str(problem)) from None
    _check(check_account, order.account, "account")
    _check(check_workload, order.workload, "workload")
    if order.name is not None:
        _check(_name, order.name, "name")
    return NewOrder(
        account=order.account,
        name=order.name,
        workload=order.workload,
        priority=order.priority,
        units=_units(order.units, values["units"]),
    )


def _refusal(message: str) -> BadOrderError:
    found = _PLACE.match(message)
    assert found is not None  # it matches anything
    why, path = found["why"], found["path"] or ""
    steps: list[str | int] = [name or int(index) for name, index in _STEP.findall(path)]
    unknown = _UNKNOWN.match(why)
    if unknown:
        return BadOrderError(
            f"there is no field {unknown[1][:80]!r}", pointer_to(*steps, unknown[1])
        )
    return BadOrderError(f"{why[:1].lower()}{why[1:]}", pointer_to(*steps))


def _check(check: Callable[[str], str], text: str, *steps: str | int) -> None:
    try:
        check(text)
    except BadNameError as problem:
        raise BadOrderError(str(problem), pointer_to(*steps)) from None


def _name(text: str) -> str:
    if 0 < len(text) <= NAME_MAX:
        return text
    raise BadNameError(f"a name has 1 to {NAME_MAX} characters")


def _units(units: list[_Unit | str], values: list[Any]) -> list[NewUnit]:
    names: dict[str, int] = {}
    found = []
    for index, unit in enumerate(units):
        new = NewUnit(unit) if isinstance(unit, str) else NewUnit(unit.name, bytes(unit.payload))
        if isinstance(unit, str) or "name" in values[index]:
            _check_name(new.name, index, isinstance(unit, str), names)
        if len(new.payload) > len(_NOTHING):
            new = _checked_payload(new, index, values[index]["payload"])
        found.append(new)
    return found


def _check_name(name: str, index: int, alone: bool, names: dict[str, int]) -> None:
    steps: tuple[str | int, ...] = ("units", index) if alone else ("units", index, "name")
    _check(_name, name, *steps)
    first = names.setdefault(name, index)
    if first != index:
        raise BadOrderError(f"unit {first} of this order has the same name", pointer_to(*steps))


def _checked_payload(unit: NewUnit, index: int, value: Any) -> NewUnit:
    raw = unit.payload
    if len(raw) > PAYLOAD_BYTES:
        raise BadOrderError(
            f"a payload has at most {PAYLOAD_BYTES} bytes of JSON: put a path or URL there",
            pointer_to("units", index, "payload"),
        )
    # Counting brackets is quick, and most payloads have few.
    if raw.count(b"{") + raw.count(b"[") > DEPTH_MAX and depth(value) > DEPTH_MAX:
        raise BadOrderError(
            f"a payload is nested at most {DEPTH_MAX} deep",
            pointer_to("units", index, "payload"),
            malformed=True,
        )
    if b"\n" in raw or b"\r" in raw:
        # Results and payloads are streamed one to a line. A line break can only be layout here:
        # inside a string it would have to be written \n.
        return NewUnit(unit.name, msgspec.json.format(raw, indent=-1))
    return unit
