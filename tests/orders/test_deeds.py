"""What people did is told: of an order in one row, of a unit between all that happened to it."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from orders_support import Ledger

from rtb.model.lifecycle import Kind
from rtb.model.verbs import Filter, Verb


async def _story(ledger: Ledger, unit: int) -> list[tuple[Any, ...]]:
    found = await ledger.reads.unit(unit)
    assert found is not None
    return [(event["kind"], event["attempt"], event.get("why", "")) for event in found["history"]]


@pytest_twisted.ensureDeferred
async def test_a_whole_order_is_held_and_released_in_one_row_each(ledger: Ledger) -> None:
    await ledger.books.set_going(True)
    await ledger.box("one", 1)
    order = await ledger.place(3)
    claim = await ledger.books.claim("one", 1)
    await ledger.say(Kind.PROCESSING, [claim.units[0].key])
    await ledger.say(Kind.SUCCESS, [claim.units[0].key])
    await ledger.verbs.change(order, Verb.HOLD, why="clouds")
    await ledger.verbs.change(order, Verb.RELEASE)
    await ledger.verbs.change(order, Verb.PRIORITY, priority=4)
    (claim,) = [await ledger.books.claim("one", 1)]
    first, second, third = (unit for (unit,) in ledger.sql("SELECT id FROM units ORDER BY id"))
    assert claim.units[0].unit == second
    # It was over before the order was held: that did not concern it any more.
    assert [kind for kind, *_ in await _story(ledger, first)] == [
        "claimed",
        "processing",
        "success",
    ]
    held = [("held", 0, "clouds"), ("released", 0, ""), ("prioritized", 0, "")]
    assert await _story(ledger, second) == [*held, ("claimed", 1, "")]
    assert await _story(ledger, third) == held
    assert ledger.sql("SELECT count(*) FROM deeds_of_units") == [(0,)]
    shown = await ledger.reads.order(order)
    assert shown is not None
    told = [{key: deed[key] for key in deed if key != "at"} for deed in shown["history"]]
    assert told == [
        {"verb": "hold", "units": 2, "why": "clouds"},
        {"verb": "release", "units": 2},
        {"verb": "priority", "units": 2, "priority": 4},
    ]


@pytest_twisted.ensureDeferred
async def test_units_that_a_filter_chose_tell_of_it_and_the_others_do_not(ledger: Ledger) -> None:
    order = await ledger.place(["a1", "a2", "b1"])
    chosen = Filter(prefix="a")
    await ledger.verbs.change_units(order, Verb.HOLD, chosen, 2, why="clouds")
    await ledger.follow()
    await ledger.verbs.change_units(order, Verb.HOLD, chosen, 0)  # they are held already
    await ledger.follow()
    await ledger.verbs.change_units(order, Verb.RELEASE, Filter(prefix="a1"), 1)
    await ledger.follow()
    await ledger.verbs.change_units(order, Verb.PRIORITY, Filter(prefix="b"), 1, priority=2)
    await ledger.follow()
    a1, a2, b1 = (unit for (unit,) in ledger.sql("SELECT id FROM units ORDER BY id"))
    assert await _story(ledger, a1) == [("held", 0, "clouds"), ("released", 0, "")]
    assert await _story(ledger, a2) == [("held", 0, "clouds")]
    assert await _story(ledger, b1) == [("prioritized", 0, "")]
    shown = await ledger.reads.order(order)
    assert shown is not None
    assert [(deed["verb"], deed["prefix"], deed["units"]) for deed in shown["history"]] == [
        ("hold", "a", 2),
        ("hold", "a", 0),
        ("release", "a1", 1),
        ("priority", "b", 1),
    ]


@pytest_twisted.ensureDeferred
async def test_a_cancel_and_a_retry_are_told_once(ledger: Ledger) -> None:
    order = await ledger.place(2)
    await ledger.verbs.change(order, Verb.CANCEL, why="wrong year")
    await ledger.follow()
    chosen = Filter(statuses=frozenset())
    await ledger.verbs.change_units(order, Verb.RETRY, chosen, 0)
    await ledger.follow()
    ((unit,),) = ledger.sql("SELECT min(id) FROM units")
    assert await _story(ledger, unit) == [("cancelled", 0, "wrong year")]
    shown = await ledger.reads.order(order)
    assert shown is not None
    assert [(deed["verb"], deed.get("status")) for deed in shown["history"]] == [
        ("cancel", None),
        ("retry", ["error"]),
    ]
    ledger.check()
