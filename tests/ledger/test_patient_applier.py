"""What waits in an applier: booked with what follows, and before anything could make it void."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from ledger_support import Ledger, open_attempts, report
from twisted.internet.task import Clock

from rtb.api.applier import Applier
from rtb.api.metrics import Tally
from rtb.broker.post import Post
from rtb.ledger import Books, LedgerUnavailableError
from rtb.model.wire import Ended, Status, StatusKind, UnitKey


class _Silent:
    """Whoever is told of something, and does nothing."""

    problem = ""

    def __getattr__(self, name: str) -> Any:
        return lambda *values: 0

    async def say(self, *values: object) -> None:
        """Nothing."""


class _Lineage:
    problem = ""

    async def doubt(self, ledger: str, why: str) -> None:
        self.problem = why


def applier(books: Books, clock: Clock, lineage: Any = None) -> Applier:
    nobody: Any = _Silent()
    return Applier(
        nobody, books, Post("a"), nobody, nobody, nobody, lineage or nobody, lambda: None, Tally(),
        clock.seconds,
    )  # fmt: skip


def said(ledger: Ledger, kind: StatusKind, *keys: UnitKey) -> Status:
    news = [Ended(*key, ran=0.1) for key in keys]
    return Status(ledger=ledger.id, box="outbox", source="a1", kind=kind, units=news)


@pytest_twisted.ensureDeferred
async def test_what_is_queued_is_booked_with_its_end(books: Books, ledger: Ledger) -> None:
    one, two, three = (unit.key for unit in await open_attempts(books, 3))
    clock = Clock()
    works = applier(books, clock)
    named = report(ledger=ledger.id, units=[one, two])
    await works.apply([said(ledger, StatusKind.SUCCESS, three), named], can_wait=True)
    assert ledger.statuses(one[0], two[0], three[0]) == ["sent", "sent", "success"]
    assert works.patience
    await works.apply([said(ledger, StatusKind.SUCCESS, one)], can_wait=True)
    assert ledger.kinds(one[0]) == ["claimed", "queued", "processing", "success"]
    assert ledger.one("SELECT count(*) FROM events WHERE unit_id = %s", one[0]) == 1
    assert ledger.statuses(two[0]) == ["sent"]
    # Nothing is said of anybody any more.
    clock.advance(0.1)
    await works.apply([], can_wait=True)
    assert ledger.statuses(two[0]) == ["queued"]
    assert not works.patience
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_what_a_leader_said_counts_though_its_successor_comes_next(
    books: Books, ledger: Ledger
) -> None:
    one, two, three = (unit.key for unit in await open_attempts(books, 3))
    works = applier(books, Clock())
    named = report(ledger=ledger.id, units=[one, two])
    await works.apply([named, said(ledger, StatusKind.SUCCESS, three)], can_wait=True)
    assert works.patience
    await works.apply([report(leader="l2")])
    assert ledger.statuses(one[0], two[0]) == ["queued", "queued"]
    # So what it does not name is given out again at once, and not after three epochs.
    first = report(leader="l2", ledger=ledger.id, units=[one], full=True, first=True)
    await works.apply([first])
    assert ledger.statuses(one[0], two[0]) == ["queued", "waiting"]
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_an_attempt_of_a_future_is_noticed_though_it_waited(
    books: Books, ledger: Ledger
) -> None:
    one, two = (unit.key for unit in await open_attempts(books, 2))
    clock, lineage = Clock(), _Lineage()
    works = applier(books, clock, lineage)
    named = report(ledger=ledger.id, units=[(one[0], 7)])
    await works.apply([named, said(ledger, StatusKind.SUCCESS, two)], can_wait=True)
    assert works.patience
    assert not lineage.problem
    with pytest.raises(LedgerUnavailableError):
        await works.apply([])
    assert "7" in lineage.problem
