"""What is done to one unit concerns no other, wherever it is."""

from __future__ import annotations

import pytest_twisted
from orders_support import Ledger

from rtb.model.lifecycle import Kind, Status
from rtb.model.verbs import Filter, Verb


async def change(ledger: Ledger, order: int, verb: Verb, unit: int, *statuses: Status) -> int:
    chosen = Filter(frozenset(statuses), unit=unit)
    units = await ledger.verbs.count(order, verb, chosen)
    assert units is not None
    if units:
        await ledger.verbs.change_units(order, verb, chosen, units)
    await ledger.follow()
    ledger.check()
    return units


@pytest_twisted.ensureDeferred
async def test_one_unit(ledger: Ledger) -> None:
    await ledger.books.set_going(True)
    await ledger.box("one", 2)
    order, other = await ledger.place(6), await ledger.place(2)
    units = [row[0] for row in ledger.sql("SELECT id FROM units ORDER BY id")]

    def statuses() -> list[str]:
        return [row[0] for row in ledger.sql("SELECT status FROM units ORDER BY id")]

    flying = (await ledger.books.claim("one", 2)).units
    assert [unit.unit for unit in flying] == units[:2]
    assert await change(ledger, order, Verb.CANCEL, units[1]) == 1
    assert statuses() == ["sent", "cancelled", *["waiting"] * 6]
    assert await change(ledger, order, Verb.CANCEL, units[3]) == 1
    assert await change(ledger, order, Verb.HOLD, units[4]) == 1
    assert ledger.sql("SELECT id FROM units WHERE held_at IS NOT NULL") == [(units[4],)]
    assert await change(ledger, order, Verb.RELEASE, units[4]) == 1
    assert await change(ledger, order, Verb.RELEASE, units[4]) == 0
    assert await change(ledger, other, Verb.CANCEL, units[2]) == 0, "not one of that order"
    await ledger.say(Kind.SUCCESS, [flying[0].key])
    assert await change(ledger, order, Verb.RETRY, units[0]) == 0, "only errors, unless it is said"
    assert await change(ledger, order, Verb.RETRY, units[0], Status.SUCCESS) == 1
    assert statuses() == ["waiting", "cancelled", "waiting", "cancelled", *["waiting"] * 4]
