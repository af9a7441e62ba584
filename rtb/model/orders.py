"""Orders, as people place them: what is taken and what is refused, with the exact place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from rtb.errors import RtbError
from rtb.model.json_text import BadJsonError, depth, pointer_to, read_json
from rtb.model.names import BadNameError, check_account, check_workload
from rtb.model.retry import MAX_FAILURES

__all__ = [
    "DEPTH_MAX",
    "NAME_MAX",
    "PAYLOAD_BYTES",
    "UNITS_MAX",
    "BadOrderError",
    "NewOrder",
    "NewUnit",
    "check_payload",
    "read_head",
    "read_order",
]

PAYLOAD_BYTES = 64 * 1024
DEPTH_MAX = 20
UNITS_MAX = 100_000
NAME_MAX = 255
LABELS_MAX = 32
#: A year, in seconds.
LIMIT_MAX = 31_536_000
_NOTHING = b"null"
_PLACE = re.compile(r"(?P<why>.*?)(?: - at `\$(?P<path>.*)`)?\Z", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`\Z", re.DOTALL)
_LABEL_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}\Z")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})\Z")
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
    labels: dict[str, str] = {}
    #: Nothing of it goes before this time.
    not_before: datetime | None = None
    #: Failures that settle a unit as ``error``.
    max_failures: int = MAX_FAILURES
    #: Seconds that a unit may run.
    time_limit: float | None = None
    units: list[NewUnit] = []


class _Unit(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""
    payload: msgspec.Raw = msgspec.Raw(_NOTHING)


class _Head(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    account: str = "default"
    name: str | None = None
    workload: str = "default"
    priority: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] = 0
    labels: Annotated[dict[str, str], msgspec.Meta(max_length=LABELS_MAX)] = {}
    not_before: str | None = None
    max_failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = MAX_FAILURES
    time_limit: Annotated[float, msgspec.Meta(gt=0, le=LIMIT_MAX)] | None = None


class _Order(_Head, kw_only=True, forbid_unknown_fields=True):
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
    return _checked(order, _units(order.units, values["units"]))


def read_head(values: Mapping[str, object]) -> NewOrder:
    """Return the order, without units, that *values* (of a URL's query, as text) describe.

    :raises BadOrderError: they describe none
    """
    try:
        head = msgspec.convert(dict(values), _Head, strict=False)
    except msgspec.ValidationError as problem:
        raise _refusal(str(problem)) from None
    return _checked(head, [])


def _checked(order: _Head, units: list[NewUnit]) -> NewOrder:
    _check(check_account, order.account, "account")
    _check(check_workload, order.workload, "workload")
    if order.name is not None:
        _check(_name, order.name, "name")
    for key, text in order.labels.items():
        if not _LABEL_KEY.match(key) or len(text) > NAME_MAX or not text.isprintable():
            raise BadOrderError(
                "a label is a key of 1 to 63 letters, digits and any of . _ / - with a printable "
                f"value of at most {NAME_MAX} characters",
                pointer_to("labels", key),
            )
    return NewOrder(
        account=order.account,
        name=order.name,
        workload=order.workload,
        priority=order.priority,
        labels=order.labels,
        not_before=_moment(order.not_before) if order.not_before is not None else None,
        max_failures=order.max_failures,
        time_limit=order.time_limit,
        units=units,
    )


def _moment(text: str) -> datetime:
    try:
        if not _MOMENT.match(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadOrderError(
            "write a time as RFC 3339 has it, with its offset: 2030-01-31T08:00:00Z",
            pointer_to("not_before"),
        ) from None
    return moment


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
    checked = check_payload(unit.payload, value, pointer_to("units", index, "payload"))
    return unit if checked is unit.payload else NewUnit(unit.name, checked)


def check_payload(raw: bytes, value: Any, pointer: str) -> bytes:
    """Return *raw*, which is JSON for *value*, on one line.

    :raises BadOrderError: it is more than a payload may be
    """
    if len(raw) > PAYLOAD_BYTES:
        raise BadOrderError(
            f"a payload has at most {PAYLOAD_BYTES} bytes of JSON: put a path or URL there", pointer
        )
    # Counting brackets is quick, and most payloads have few.
    if raw.count(b"{") + raw.count(b"[") > DEPTH_MAX and depth(value) > DEPTH_MAX:
        raise BadOrderError(
            f"a payload is nested at most {DEPTH_MAX} deep", pointer, malformed=True
        )
    if b"\n" in raw or b"\r" in raw:
        # Results and payloads are streamed one to a line. A line break can only be layout here:
        # inside a string it would have to be written \n.
        return msgspec.json.format(raw, indent=-1)
    return raw
