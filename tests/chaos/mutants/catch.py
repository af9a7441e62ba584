"""Known-bad builds, each with a scenario of its own that the real build passes.

Not part of the ordinary run: ``pytest tests/chaos/mutants/catch.py``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from mutant_scenarios import (
    flood,
    late_result,
    late_start,
    lost_agent,
    lost_confirm,
    raced_sweep,
    redelivered,
    rival_claims,
    silent_api,
)
from mutant_stand import Stand
from pytest_twisted import blockon
from twisted.internet.defer import Deferred

from rtb.api.applier import Applier
from rtb.api.dispatcher import Dispatcher
from rtb.api.epochs import Epochs
from rtb.errors import RtbError
from rtb.leader.reign import Reign
from rtb.ledger import migrations
from rtb.ledger.queries import QUERIES, Query
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.tracker import Tracker
from rtb.model.wire import Out, Unit
from rtb.settings import Broker, Database


@pytest.fixture
def stand(reactor: Any, database: Database, vhost: Broker, tmp_path: Path) -> Iterator[Stand]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stand = Stand(reactor, database, vhost, tmp_path)
    yield stand
    blockon(Deferred.fromCoroutine(stand.end()))
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _sql(name: str, *changes: tuple[str, str]) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        text = str(QUERIES[name])
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        monkeypatch.setitem(QUERIES, name, Query(text, name))

    return patch


def _schema(old: str, new: str) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        shipped = list(migrations._files())
        assert any(old in text for _, text in shipped), old
        changed = [(name, text.replace(old, new)) for name, text in shipped]
        monkeypatch.setattr(migrations, "_files", lambda: iter(changed))

    return patch


def _both(*patches: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        for each in patches:
            each(monkeypatch)

    return patch


def _time_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick(self: Epochs) -> None:
        books = self._lineage._books
        ledger, epoch = await books.epoch()
        await books.end_epoch(ledger, epoch)
        for of, key, why in await books.forsaken():
            await books.apply(of, [Move.giving_up(key, Kind.RESCUED, why)])

    monkeypatch.setattr(Epochs, "_tick", tick)


def _by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    conclude = Applier._conclude

    async def concluding(self: Applier, message: Any) -> None:
        await self._books._moves.run("UPDATE flights SET seen = epoch FROM epochs")
        await conclude(self, message)

    monkeypatch.setattr(Applier, "_conclude", concluding)


def _republish(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsent(self: Dispatcher, failure: Any, ledger: str, units: list[Unit]) -> Any:
        message = Out(ledger=ledger, box="outbox", units=units)
        return self._client.publish_surely(self._post.out(message))

    monkeypatch.setattr(Dispatcher, "_unsent", unsent)


def _run_redelivered(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived = Reign._arrived

    def arriving(self: Reign, delivery: Any) -> None:
        object.__setattr__(delivery, "redelivered", False)
        arrived(self, delivery)

    monkeypatch.setattr(Reign, "_arrived", arriving)


def _no_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tracker, "room", 10**6)


_GATE = "UPDATE gate SET claims = claims + 1"
_LOCKED = "g.xmin = pg_current_xact_id_if_assigned()::xid"
_OPEN = "l.active = m.attempt"
#: By name: what is broken, and the scenario that catches it.
MUTANTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Any]] = {
    "no attempt is compared": (_sql("apply", (_OPEN, "true")), late_result),
    # The lifecycle's own guard stops this one as well: the mutant goes without both.
    "the attempt is compared, open or not": (
        _sql(
            "apply",
            (_OPEN, "l.attempt = m.attempt"),
            ("c.status = j.former", "c.status = CASE j.former WHEN 'waiting' THEN 'sent' "
             "ELSE j.former END"),
        ),
        late_start,
    ),
    "an unguarded sweep": (
        _sql("apply", (_OPEN, "(l.active = m.attempt OR m.kind = 'rescued')")),
        raced_sweep,
    ),
    "a sweep by the clock": (_time_sweep, silent_api),
    "a heartbeat by name": (_by_name, lost_agent),
    "an attempt is published again": (_republish, lost_confirm),
    "redelivered units are run": (_run_redelivered, redelivered),
    "no cap": (_no_cap, flood),
    "no gate": (
        _both(
            _sql("lock_gate", (_GATE, "SELECT 1 FROM gate")),
            _sql("claim", (_LOCKED.removeprefix("g."), "true")),
            _schema(_LOCKED, "true"),
        ),
        rival_claims,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
@pytest_twisted.ensureDeferred
async def test_the_real_build(name: str, stand: Stand) -> None:
    await MUTANTS[name][1](stand)


@pytest.mark.parametrize("name", MUTANTS)
@pytest_twisted.ensureDeferred
async def test_a_mutant_is_caught(
    name: str, stand: Stand, monkeypatch: pytest.MonkeyPatch, errors_fail: Any
) -> None:
    patch, scenario = MUTANTS[name]
    patch(monkeypatch)
    # The ledger refuses some of what they do by itself.
    with pytest.raises((AssertionError, RtbError)):
        await scenario(stand)
    errors_fail.consume()
