"""From what is wanted and what is there to the next step; and that steps lead there."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtb.leader.yarn.answers import Component, Container, Service
from rtb.leader.yarn.reconcile import (
    Create,
    Destroy,
    Drop,
    Renew,
    Rest,
    Scale,
    Situation,
    decide,
    drifted,
    foreign,
)

OURS = "rtb.1"


def service(number: int = 2, *, state: str = "STABLE", **changes: Any) -> Service:
    containers = [Container(f"c{n}", f"agent-{n}", "READY") for n in range(number)]
    component = Component("agent", number, containers, changes.pop("dropped", []))
    fields = {"version": OURS, "lifetime": 3600, "components": [component], **changes}
    return Service("s", "application_1_1", state, **fields)


def situation(there: Service | None, wanted: int | None, **changes: Any) -> Situation:
    return Situation(**{
        "service": there, "wanted": wanted, "version": OURS, "lifetime": 3600, "manned": True,
        **changes,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("there", "wanted", "changes", "step"),
    [
        # Nothing is done before it is known what is wanted.
        (None, None, {}, Rest()),
        (service(3), None, {"manned": False, "unmanned": 99.0}, Rest()),
        (None, 0, {}, Rest()),
        (None, 3, {}, Create(3)),
        (service(2), 2, {}, Rest()),
        (service(2), 5, {}, Scale(5)),
        # Those that leave are still needed until they are gone.
        (service(2), 1, {"leaving": 1}, Rest()),
        (service(2), 2, {"leaving": 1}, Scale(3)),
        (service(2), 1, {"gone": frozenset({"agent-1"})}, Drop(("agent-1",))),
        # Dropped once: said again it would be another's loss in no version, but why try.
        (service(1, dropped=["agent-1"]), 1, {"gone": frozenset({"agent-1"})}, Rest()),
        # Never down by number while somebody could lose a unit.
        (service(4), 1, {}, Rest()),
        (service(4), 0, {}, Rest()),
        (service(4), 0, {"manned": False, "unmanned": 5.0}, Rest()),
        (service(4), 0, {"manned": False, "unmanned": 20.0}, Scale(0)),
        # An ApplicationMaster that is away shows nothing, which is no news.
        (service(2, state="ACCEPTED", components=[]), 4, {}, Rest()),
        (service(2, lifetime=1799), 2, {}, Renew()),
        (service(2, lifetime=-1), 2, {}, Rest()),
        # Just after a failover it is said of services that run.
        (service(2, state="STOPPED"), 2, {"over": 1.0}, Rest()),
        (service(2, state="STOPPED"), 2, {"over": 3.0}, Destroy("it is STOPPED", failed=True)),
        (service(2, state="FAILED"), 0, {"over": 3.0}, Destroy("it is FAILED", failed=True)),
        (service(2, version="rtb.0"), 2, {}, Rest()),
        (
            service(0, version="rtb.0"),
            2,
            {"manned": False, "unmanned": 20.0},
            Destroy("it runs something else than is wanted now"),
        ),
        (service(0), 0, {"manned": False, "idle": 599.0}, Rest()),
        (
            service(0),
            0,
            {"manned": False, "idle": 600.0},
            Destroy("nothing was wanted for a long time"),
        ),
    ],
)
def test_the_next_step(there: Any, wanted: Any, changes: Any, step: Any) -> None:
    assert decide(situation(there, wanted, **changes)) == step


def test_what_is_not_ours_is_left_alone() -> None:
    for version in ("1.0", "rtb", ""):
        foreign = service(2, version=version, state="FAILED")
        step = decide(situation(foreign, 4, over=99.0, manned=False, unmanned=99.0))
        assert isinstance(step, Rest)
        assert "RTB_YARN_SERVICE" in step.problem
        assert not drifted(foreign, OURS)


def test_one_that_is_over_says_no_version_and_is_known_by_its_name() -> None:
    def over(name: str) -> Service:
        return Service(name, "application_1_1", "FAILED")

    assert isinstance(decide(situation(over("rtb-outbox"), 2, over=9.0)), Destroy)
    step = decide(situation(over("web"), 2, over=9.0))
    assert isinstance(step, Rest)
    assert step.problem


def test_one_that_starts_says_nothing_yet() -> None:
    starting = Service("web", "application_1_1", "ACCEPTED")
    assert decide(situation(starting, 2)) == Rest()
    assert not foreign(starting)


@attrs.define
class Cluster:
    """A cluster that does what it is told, or loses it."""

    there: Service | None
    gone: set[str] = attrs.field(factory=set)

    def do(self, step: Any) -> None:
        match step:
            case Create(number=number):
                self.there = service(number)
            case Scale(number=number):
                self.there = service(number)
            case Drop(instances=instances):
                assert self.there is not None
                agents = self.there.components[0]
                left = agents.number_of_containers - len(instances)
                self.there = service(left, dropped=list(instances))
            case Destroy():
                self.there = None


@given(
    st.one_of(st.none(), st.integers(0, 9)),
    st.integers(0, 9),
    st.lists(st.booleans(), max_size=30),
)
def test_it_gets_there_whatever_is_lost_on_the_way(
    number: int | None, wanted: int, lost: list[bool]
) -> None:
    cluster = Cluster(None if number is None else service(number))
    fates = iter([*lost, *[False] * 10])
    for lose in fates:
        there = cluster.there
        has = there.components[0].number_of_containers if there is not None else 0
        # Surplus agents are idle here: they go, one at a time.
        gone = frozenset({f"agent-{has - 1}"}) if has > wanted else frozenset()
        if there is not None and there.components[0].decommissioned_instances:
            gone -= set(there.components[0].decommissioned_instances)
        step = decide(situation(there, wanted, gone=gone, manned=bool(has)))
        if not lose:
            cluster.do(step)
    there = cluster.there
    assert (there.components[0].number_of_containers if there is not None else 0) == wanted
