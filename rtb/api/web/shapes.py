"""What the API takes and answers, as types: the description for machines is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

__all__ = [
    "Account",
    "AccountToSet",
    "AgentList",
    "Alive",
    "Change",
    "Changed",
    "Drained",
    "Fair",
    "Forecast",
    "Forgotten",
    "Going",
    "NextUnits",
    "Order",
    "OrderPage",
    "OrderToPlace",
    "Placed",
    "Problem",
    "Ready",
    "Summary",
    "Trace",
    "UnitPage",
    "UnitStory",
    "UnitsChange",
]

UnitStatus = Literal["waiting", "sent", "queued", "processing", "success", "error", "cancelled"]
Id = Annotated[int, msgspec.Meta(ge=1)]
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class Counts(msgspec.Struct):
    """Units by status."""

    waiting: int
    sent: int
    queued: int
    processing: int
    success: int
    error: int
    cancelled: int
    total: int


class Launcher(msgspec.Struct):
    """What starts and ends agents, and how far it is."""

    kind: Literal["local", "yarn"]
    wanted: int
    starting: int
    running: int
    leaving: int
    state: str
    problem: str


class Launched(msgspec.Struct):
    """An agent that a launcher started."""

    agent: str
    name: str
    host: str
    presence: str
    slots: int
    busy: int
    container: str
    log: str


class Leader(msgspec.Struct):
    """A box, and what its leader reported last."""

    box: str
    incarnation: str
    state: Literal["active", "away"]
    capacity: int
    queued: int
    sent: int
    utilization: float
    slots: int
    busy: int
    workloads: list[str]
    agents: int
    reported_at: Time
    launcher: Launcher | msgspec.UnsetType = msgspec.UNSET
    launched: list[Launched] | msgspec.UnsetType = msgspec.UNSET


class Summary(msgspec.Struct):
    """How things are."""

    units: Counts
    going: bool
    leaders: list[Leader]


class Waits(msgspec.Struct):
    """Why something waits: a code, and a sentence."""

    code: str
    why: str


class NextUnit(Waits, kw_only=True):
    """A unit that waits."""

    id: Id
    name: str
    order: Id
    account: str
    workload: str
    attempts: int


class NextUnits(msgspec.Struct):
    """Who is first in line."""

    units: list[NextUnit]


class Going(msgspec.Struct):
    """Whether units are handed out."""

    going: bool


class UnitToPlace(msgspec.Struct):
    """A unit with a payload of at most 64 KiB."""

    name: str = ""
    payload: Any = None


class OrderToPlace(msgspec.Struct, kw_only=True):
    """An order to place."""

    account: str = "default"
    name: str | None = None
    workload: str = "default"
    priority: int = 0
    labels: dict[str, str] = {}
    #: With an offset.
    not_before: Time | None = None
    max_failures: int = 3
    time_limit: float | None = None
    units: Annotated[list[UnitToPlace | str], msgspec.Meta(min_length=1)]


class Placed(msgspec.Struct):
    """What was placed; a hint where nothing is handed out."""

    id: Id
    units: int
    going: bool
    hint: str = ""


class Order(msgspec.Struct):
    """An order with its counts."""

    id: Id
    account: str
    name: str
    workload: str
    priority: int
    status: Literal["waiting", "processing", "success", "error", "cancelled"]
    labels: dict[str, str]
    state: str
    units: Counts
    #: Units settled per second, of late.
    rate: float
    #: Seconds until its end, at that rate.
    eta: float | None
    pending: list[Any]
    max_failures: int
    time_limit: float | None
    not_before: Time | None
    held_at: Time | None
    held_why: str | None
    created_at: Time
    finished_at: Time | None
    #: Since then its units are gone, and only what stands here is left.
    pruned_at: Time | None


class OrderPage(msgspec.Struct):
    """Orders, newest first."""

    orders: list[Order]
    cursor: str | None


class Deed(msgspec.Struct, kw_only=True):
    """What somebody did to an order, or by a filter to units of it."""

    at: Time
    verb: str
    units: int
    status: list[UnitStatus] = []
    prefix: str | None = None
    why: str = ""
    priority: int | None = None


class OrderStory(Order, kw_only=True):
    """An order with its counts, and what people did to it last."""

    history: list[Deed]


class Unit(msgspec.Struct):
    """A unit."""

    id: Id
    order: Id
    name: str
    status: UnitStatus
    attempts: int
    round: int
    failures: int
    losses: int
    not_before: Time | None
    held_at: Time | None
    result: Any
    error: str | None
    #: Why it waits, where it does; not in a stream.
    waits: Waits | None = None


class UnitPage(msgspec.Struct):
    """Units of an order, oldest first."""

    units: list[Unit]
    cursor: str | None


class Forecast(msgspec.Struct):
    """When an order goes on and ends, and why it waits; null where nobody can know."""

    order: Id
    code: str
    why: str
    rank: int | None
    starts_at: Time | None
    ends_at: Time | None
    ends_in: float | None
    ends_between: list[Time] | None


class Share(msgspec.Struct):
    """What an account has, and what is due to it."""

    account: str
    weight: float
    cap: int | None
    waiting: int
    in_flight: int
    share_held: float
    share_due: float
    last_served: Time | None


class Fair(msgspec.Struct):
    """The accounts, the busiest first."""

    accounts: list[Share]


class Change(msgspec.Struct):
    """How a verb is to be done."""

    why: str = ""
    priority: int | None = None


class UnitsChange(Change):
    """Which units it concerns; without ``expect_count`` they are only counted."""

    status: list[UnitStatus] = []
    prefix: str | None = None
    unit: Id | None = None
    expect_count: int | None = None


class Changed(msgspec.Struct):
    """How many units it concerns; they follow."""

    id: Id
    verb: str
    units: int
    hint: str = ""


class AccountToSet(msgspec.Struct):
    """What an account is to have."""

    weight: float | None = None
    cap: int | None = None


class Account(msgspec.Struct):
    """What an account has."""

    weight: float
    cap: int | None


class Event(msgspec.Struct):
    """Something that happened to a unit."""

    at: Time
    round: int
    attempt: int
    kind: str
    who: str
    ran: float | None
    why: str = ""
    output: str = ""
    priority: int | None = None
    #: Where its agent ran, and where to read what that printed, if a launcher started it.
    container: str = ""
    log: str = ""


class UnitStory(Unit, kw_only=True):
    """A unit with its history."""

    payload: Any
    box: str | None
    holder: str | None
    history: list[Event]


class Agent(msgspec.Struct):
    """An agent, as its leader saw it last."""

    id: str
    name: str
    host: str
    box: str
    presence: Literal["ready", "draining", "gone"]
    slots: int
    busy: int
    workloads: list[str]
    seen_at: Time
    container: str
    log: str


class AgentList(msgspec.Struct):
    """The agents that leaders reported."""

    agents: list[Agent]


class Drained(msgspec.Struct):
    """An agent that takes nothing new."""

    agent: str
    presence: Literal["draining"]


class Forgotten(msgspec.Struct):
    """A box that is forgotten."""

    box: str
    forgotten: bool


class Alive(msgspec.Struct):
    """A sign of life."""

    alive: bool


class Ready(msgspec.Struct):
    """Whether all is there that answers need."""

    ready: bool
    parts: dict[str, str]


class Trace(msgspec.Struct):
    """Rates of the past: a value for each time, null where nothing is known."""

    t: list[int]
    success: list[float | None]
    error: list[float | None]
    taken: list[float | None]
    fill: list[float | None]


class Problem(msgspec.Struct):
    """What is wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request: str
