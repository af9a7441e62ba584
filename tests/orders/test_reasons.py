"""Each unit of a page says why it waits, by the rule, with one look for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from orders_support import Ledger

from rtb.ledger import Outlook
from rtb.model.verbs import Filter, Verb


@pytest.fixture
def outlook(ledger: Ledger) -> Iterator[Outlook]:
    outlook = Outlook(ledger.reactor, ledger.database)
    yield outlook
    outlook.close()


async def _codes(ledger: Ledger, outlook: Outlook, order: int) -> list[str]:
    units = [unit for (unit,) in ledger.sql("SELECT id FROM units WHERE order_id = %s", order)]
    waits = await outlook.units(order, units)
    return [waits[unit]["code"] if unit in waits else "" for unit in sorted(units)]


@pytest_twisted.ensureDeferred
async def test_every_reason_is_told(ledger: Ledger, outlook: Outlook) -> None:
    order = await ledger.place(6, account="ann")
    assert await _codes(ledger, outlook, order) == ["STOPPED"] * 6
    await ledger.books.set_going(True)
    assert await _codes(ledger, outlook, order) == ["NO_LEADER"] * 6
    await ledger.box("one", 3, "other")
    assert await _codes(ledger, outlook, order) == ["NO_WORKLOAD"] * 6
    await ledger.box("one", 3, "default")
    assert await _codes(ledger, outlook, order) == ["NEXT"] * 3 + ["ORDER"] * 3
    await ledger.verbs.change_units(order, Verb.HOLD, Filter(prefix="u1"), 1)
    await ledger.verbs.change_units(order, Verb.PRIORITY, Filter(prefix="u5"), 1, priority=7)
    await ledger.follow()
    assert await _codes(ledger, outlook, order) == [
        "NEXT", "HELD", "NEXT", "ORDER", "ORDER", "NEXT",
    ]  # fmt: skip
    ledger.sql("UPDATE units SET ready = false, not_before = now() + interval '9 s' WHERE id = 3")
    await ledger.books.claim("one", 3)
    other = await ledger.place(2, account="bob")
    # Nothing runs for bob: he is first in line; ann has three under way.
    assert await _codes(ledger, outlook, other) == ["WINDOW", "ORDER"]
    found = await _codes(ledger, outlook, order)
    assert sorted(found) == ["", "", "", "HELD", "NOT_BEFORE", "SHARE"]
    await ledger.verbs.change(order, Verb.HOLD)
    assert set(await _codes(ledger, outlook, order)) == {"", "HELD"}


@pytest_twisted.ensureDeferred
async def test_a_page_costs_as_many_looks_as_a_unit(
    ledger: Ledger, outlook: Outlook, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await ledger.place(300)
    await ledger.books.set_going(True)
    await ledger.box("one", 50)
    looks: list[Any] = []
    run = outlook._lane.run

    async def counted(*asked: Any) -> Any:
        looks.append(asked)
        return await run(*asked)

    monkeypatch.setattr(outlook._lane, "run", counted)
    assert len(await outlook.units(order, [1])) == 1
    one = len(looks)
    assert len(await outlook.units(order, range(1, 301))) == 300
    assert len(looks) == 2 * one
