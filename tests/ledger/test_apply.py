from __future__ import annotations

from collections.abc import Callable

import psycopg2.errors
import pytest
import pytest_twisted
from ledger_support import Ledger, apply, lead, move, open_attempts, order, say, vouching

from rtb.ledger import BadDataError, Books, Verdict
from rtb.model.lifecycle import CLOSING, IN_FLIGHT, MOVES, OUTCOMES, Kind, Status
from rtb.model.retry import BACKOFF, MAX_FAILURES, MAX_LOSSES
from rtb.model.wire import UnitKey

#: What brings an open attempt into a status.
_WAYS = {
    Status.WAITING: [Kind.RETURNED],
    Status.SENT: [],
    Status.QUEUED: [Kind.QUEUED],
    Status.PROCESSING: [Kind.PROCESSING],
    Status.SUCCESS: [Kind.SUCCESS],
    Status.ERROR: [Kind.ERROR],
    Status.CANCELLED: [Kind.CANCELLED],
}


@pytest_twisted.ensureDeferred
async def test_every_status_and_kind_agree_with_the_table(books: Books, ledger: Ledger) -> None:
    pairs = [(status, kind) for status in Status for kind in Kind]
    units = await open_attempts(books, len(pairs))
    keys = {pair: unit.key for pair, unit in zip(pairs, units, strict=True)}
    for (status, _), key in keys.items():
        for kind in _WAYS[status]:
            await say(books, ledger, key, kind)
    assert ledger.statuses(*(key[0] for key in keys.values())) == [status for status, _ in pairs]

    verdicts = await apply(books, ledger.id, *(move(key, kind) for (_, kind), key in keys.items()))
    found = {verdict.key: verdict for verdict in verdicts}
    for (status, kind), key in keys.items():
        # What the table allows, and only while the attempt is open.
        allowed = status in IN_FLIGHT and (status, kind) in MOVES
        after = MOVES[status, kind] if allowed else status
        assert ledger.statuses(key[0]) == [after], (status, kind)
        assert found[key].applied == (kind if allowed else None), (status, kind)
        assert found[key].known
        assert found[key].open is (status in IN_FLIGHT)
        assert ledger.kinds(key[0])[-1:] == (
            [kind] if allowed else ["claimed", *_WAYS[status]][-1:]
        )
        active = ledger.one("SELECT active FROM units WHERE id = %s", key[0])
        assert (active is None) is (after not in IN_FLIGHT)
    assert ledger.wrong_counts() == []


@pytest.mark.parametrize("kind", sorted(CLOSING))
@pytest_twisted.ensureDeferred
async def test_what_is_said_of_a_closed_attempt_changes_nothing(
    books: Books, ledger: Ledger, kind: Kind
) -> None:
    (unit,) = await open_attempts(books, 1)
    await say(books, ledger, unit.key, Kind.RETURNED)
    for again in (False, True):  # the unit waits; then it is in flight by its second attempt
        if again:
            ((second,),) = ((unit.key for unit in (await books.claim("outbox", 9)).units),)
            assert second == (unit.unit, 2)
        before = ledger.sql("SELECT u.*::text, f.*::text FROM units u LEFT JOIN flights f ON true")
        history = ledger.kinds(unit.unit)
        for late in (Kind.QUEUED, Kind.PROCESSING, kind):
            verdict = await say(books, ledger, unit.key, late, vouches=True, holder="l1")
            assert verdict == Verdict(unit.key, None, True, False, False)
        assert before == ledger.sql(
            "SELECT u.*::text, f.*::text FROM units u LEFT JOIN flights f ON true"
        )
        assert ledger.kinds(unit.unit) == history
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_flush_tells_late_and_timely_apart(books: Books, ledger: Ledger) -> None:
    (unit,) = await open_attempts(books, 1)
    await say(books, ledger, unit.key, Kind.RETURNED)
    await books.claim("outbox", 1)
    late, timely = unit.key, (unit.unit, 2)
    verdicts = await apply(books, ledger.id, move(late, Kind.ERROR), move(timely, Kind.SUCCESS))
    assert {verdict.key: verdict.applied for verdict in verdicts} == {
        late: None,
        timely: Kind.SUCCESS,
    }
    assert ledger.statuses(unit.unit) == ["success"]


@pytest_twisted.ensureDeferred
async def test_units_and_attempts_that_never_were(books: Books, ledger: Ledger) -> None:
    (unit,) = await open_attempts(books, 1)
    strange: list[UnitKey] = [(unit.unit + 1, 1), (2**63 - 1, 1), (unit.unit, 2)]
    verdicts = await apply(books, ledger.id, *(move(key, Kind.SUCCESS) for key in strange))
    assert [
        (v.key, v.applied, v.known, v.open)
        for v in sorted(verdicts, key=lambda v: strange.index(v.key))
    ] == [(key, None, False, False) for key in strange]
    assert ledger.statuses(unit.unit) == ["sent"]


@pytest_twisted.ensureDeferred
async def test_what_is_said_of_another_ledger_finds_nothing(books: Books, ledger: Ledger) -> None:
    (unit,) = await open_attempts(books, 1)
    for other in ("", "x", ledger.id + " "):
        moves = [move(unit.key, Kind.SUCCESS, vouches=True), move((99, 1), Kind.ERROR)]
        verdicts = await apply(books, other, *moves)
        # Known: it is stale, not bad.
        assert {(v.applied, v.known, v.open) for v in verdicts} == {(None, True, False)}
    assert ledger.statuses(unit.unit) == ["sent"]
    assert ledger.kinds(unit.unit) == ["claimed"]


@pytest_twisted.ensureDeferred
async def test_the_database_refuses_a_second_outcome(books: Books, ledger: Ledger) -> None:
    (unit,) = await open_attempts(books, 1)
    await say(books, ledger, unit.key, Kind.SUCCESS)
    for kind in OUTCOMES:
        with pytest.raises(psycopg2.errors.UniqueViolation):
            ledger.sql(
                "INSERT INTO events (unit_id, round, attempt, kind) VALUES (%s, 1, 9, %s)",
                unit.unit,
                kind,
            )
    # A person's next round has an outcome of its own.
    ledger.sql(
        "INSERT INTO events (unit_id, round, attempt, kind) VALUES (%s, 2, 9, 'error')", unit.unit
    )


@pytest_twisted.ensureDeferred
async def test_an_open_attempt_and_its_status_cannot_disagree(books: Books, ledger: Ledger) -> None:
    (unit,) = await open_attempts(books, 1)
    for change in ("active = NULL", "status = 'success'", "ready = true"):
        with pytest.raises(psycopg2.errors.CheckViolation):
            ledger.sql(f"UPDATE units SET {change} WHERE id = {unit.unit}")


async def fail_once(books: Books, ledger: Ledger, attempt: int) -> Verdict:
    ledger.sql("UPDATE units SET not_before = now() WHERE not_before IS NOT NULL")
    await books.wake()
    (unit,) = (await books.claim("outbox", 9)).units
    assert unit.attempt == attempt
    return await say(books, ledger, unit.key, Kind.FAILED, why=f"reason {attempt}")


@pytest_twisted.ensureDeferred
async def test_failures_up_to_the_limit_and_then_an_error(books: Books, ledger: Ledger) -> None:
    await lead(books)
    await books.place(order(1))
    await books.set_going(True)
    for attempt in range(1, MAX_FAILURES):
        verdict = await fail_once(books, ledger, attempt)
        assert (verdict.applied, verdict.delayed) == (Kind.FAILED, True)
        (row,) = ledger.sql("SELECT status, failures, error, losses FROM units")
        assert row == ("waiting", attempt, f"reason {attempt}", 0)
    verdict = await fail_once(books, ledger, MAX_FAILURES)
    assert (verdict.applied, verdict.delayed) == (Kind.ERROR, False)
    (row,) = ledger.sql("SELECT status, failures, error, not_before FROM units")
    assert row == ("error", MAX_FAILURES, f"reason {MAX_FAILURES}", None)
    assert ledger.kinds(ledger.one("SELECT id FROM units")) == [
        *["claimed", "failed"] * (MAX_FAILURES - 1),
        "claimed",
        "error",
    ]
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_retry_waits_outside_the_hot_index_until_it_is_woken(
    books: Books, ledger: Ledger
) -> None:
    (unit,) = await open_attempts(books, 1)
    await say(books, ledger, unit.key, Kind.FAILED, why="x")
    (row,) = ledger.sql(
        "SELECT status, ready, extract(epoch FROM not_before - now())::float8 FROM units"
    )
    assert row[:2] == ("waiting", False)
    assert BACKOFF[0] * 0.5 - 0.5 < row[2] <= BACKOFF[0] * 1.5
    woken, due = await books.wake()
    assert woken == 0
    assert due is not None
    assert 0 < due <= BACKOFF[0] * 1.5
    assert (await books.claim("outbox", 9)).units == []
    ledger.sql("UPDATE units SET not_before = now()")
    assert await books.wake() == (1, None)
    assert await books.wake() == (0, None)
    assert [unit.key for unit in (await books.claim("outbox", 9)).units] == [(unit.unit, 2)]
    assert ledger.wrong_counts() == []


@pytest.mark.parametrize("failures", range(1, 6))
@pytest_twisted.ensureDeferred
async def test_the_delay_grows_and_stays(open_books: object, ledger: Ledger, failures: int) -> None:
    books: Books = open_books(random=lambda: 0.5)  # type: ignore[operator]
    (unit,) = await open_attempts(books, 1)
    ledger.sql("UPDATE orders SET max_failures = 99")
    ledger.sql("UPDATE units SET failures = %s", failures - 1)
    await say(books, ledger, unit.key, Kind.FAILED)
    delay = ledger.one("SELECT extract(epoch FROM not_before - now())::float8 FROM units")
    assert delay == pytest.approx(BACKOFF[min(failures, len(BACKOFF)) - 1], abs=0.5)


@pytest_twisted.ensureDeferred
async def test_a_held_unit_comes_back_but_not_ready(books: Books, ledger: Ledger) -> None:
    units = await open_attempts(books, 2)
    ledger.sql("UPDATE units SET held_at = now()")
    await say(books, ledger, units[0].key, Kind.RETURNED)
    await say(books, ledger, units[1].key, Kind.FAILED)
    ledger.sql("UPDATE units SET not_before = now() WHERE not_before IS NOT NULL")
    await books.wake()
    assert ledger.sql("SELECT status, ready FROM units") == [("waiting", False)] * 2
    assert ledger.wrong_counts() == []


async def lose_once(books: Books, ledger: Ledger, *before: Kind) -> Verdict:
    (unit,) = (await books.claim("outbox", 9)).units
    for kind in before:
        await say(books, ledger, unit.key, kind)
    return await say(books, ledger, unit.key, Kind.LOST, why="exited")


@pytest_twisted.ensureDeferred
async def test_losses_up_to_the_limit_and_then_an_error(books: Books, ledger: Ledger) -> None:
    await lead(books)
    await books.place(order(1))
    await books.set_going(True)
    for loss in range(1, MAX_LOSSES):
        verdict = await lose_once(books, ledger, Kind.PROCESSING)
        assert (verdict.applied, verdict.delayed) == (Kind.LOST, False)
        assert ledger.sql("SELECT status, losses, failures FROM units") == [("waiting", loss, 0)]
    verdict = await lose_once(books, ledger, Kind.QUEUED, Kind.PROCESSING)
    assert verdict.applied is Kind.ERROR
    ((status, losses, error),) = ledger.sql("SELECT status, losses, error FROM units")
    assert (status, losses) == ("error", MAX_LOSSES)
    assert error.startswith("lost 3 times: the agent's process ended")


@pytest.mark.parametrize("before", [[], [Kind.QUEUED]], ids=["sent", "queued"])
@pytest_twisted.ensureDeferred
async def test_a_loss_counts_only_while_it_ran(
    books: Books, ledger: Ledger, before: list[Kind]
) -> None:
    await lead(books)
    await books.place(order(1))
    await books.set_going(True)
    for _ in range(MAX_LOSSES + 1):
        assert (await lose_once(books, ledger, *before)).applied is Kind.LOST
    assert ledger.sql("SELECT status, losses, error FROM units") == [("waiting", 0, None)]


@pytest_twisted.ensureDeferred
async def test_a_loss_counts_when_its_start_is_told_in_the_same_flush(
    books: Books, ledger: Ledger
) -> None:
    """Folding a flush must come to what its events come to one by one."""
    (unit,) = await open_attempts(books, 1)
    both = move(unit.key, Kind.LOST, who="l1", why="exited", started=True, starter="a1")
    await books.apply(ledger.id, [both])
    assert ledger.sql(
        "SELECT kind, who FROM history WHERE unit_id = %s ORDER BY id", unit.unit
    ) == [
        ("claimed", "outbox"),
        ("processing", "a1"),
        ("lost", "l1"),
    ]
    assert ledger.sql("SELECT status, losses FROM units") == [("waiting", 1)]


@pytest.mark.parametrize("kind", [Kind.RETURNED, Kind.RESCUED])
@pytest_twisted.ensureDeferred
async def test_nobody_s_fault_counts_for_nothing(books: Books, ledger: Ledger, kind: Kind) -> None:
    (unit,) = await open_attempts(books, 1)
    await say(books, ledger, unit.key, Kind.PROCESSING)
    await say(books, ledger, unit.key, kind, why="drained")
    row = "SELECT status, ready, failures, losses, error, not_before FROM units"
    assert ledger.sql(row) == [("waiting", True, 0, 0, None, None)]


@pytest_twisted.ensureDeferred
async def test_a_leader_that_does_not_lead_vouches_for_nothing(
    books: Books, ledger: Ledger
) -> None:
    (unit,) = await open_attempts(books, 1)
    await books.apply(ledger.id, [vouching(unit.key, "an older one")])
    assert ledger.statuses(unit.unit) == ["sent"]
    assert ledger.one("SELECT holder FROM flights") is None
    # What an agent says of the unit counts, also where both words were folded into one move.
    both = move(unit.key, Kind.SUCCESS, vouches=True, holder="an older one", queued=True)
    (verdict,) = await apply(books, ledger.id, both)
    assert verdict.applied is Kind.SUCCESS
    assert ledger.statuses(unit.unit) == ["success"]


@pytest_twisted.ensureDeferred
async def test_bad_data_on_a_fresh_connection_does_not_spoil_it(
    open_books: Callable[..., Books], ledger: Ledger
) -> None:
    """Halving must come to its end, also where the first statement of all was the bad one."""
    books, fresh = open_books(), open_books()
    good, bad = await open_attempts(books, 2)
    spoilt = move(bad.key, Kind.ERROR, why="a\x00b")
    for moves in ([move(good.key, Kind.SUCCESS), spoilt], [spoilt]):
        with pytest.raises(BadDataError):
            await fresh.apply(ledger.id, moves)
    (verdict,) = await apply(fresh, ledger.id, move(good.key, Kind.SUCCESS))
    assert verdict.applied is Kind.SUCCESS


@pytest_twisted.ensureDeferred
async def test_results_and_reasons(books: Books, ledger: Ledger) -> None:
    good, bad, cancelled = await open_attempts(books, 3)
    await say(books, ledger, good.key, Kind.SUCCESS, result='{"a": 1.50}')
    ended = move(bad.key, Kind.ERROR, who="n/a1", started=True, ran=2.5, why="exit 65")
    ended.output = "the last lines"
    await books.apply(ledger.id, [ended])
    await say(books, ledger, cancelled.key, Kind.CANCELLED)
    assert ledger.sql("SELECT status, result::text, error FROM units ORDER BY id") == [
        ("success", '{"a": 1.50}', None),
        ("error", None, "exit 65"),
        ("cancelled", None, None),
    ]
    assert ledger.sql(
        "SELECT kind, who, ran, detail FROM history WHERE unit_id = %s ORDER BY id", bad.unit
    ) == [
        ("claimed", "outbox", None, None),
        ("processing", "n/a1", None, None),
        ("error", "n/a1", 2.5, {"why": "exit 65", "output": "the last lines"}),
    ]


@pytest_twisted.ensureDeferred
async def test_history_that_is_known_already_is_not_told_twice(
    books: Books, ledger: Ledger
) -> None:
    (unit,) = await open_attempts(books, 1)
    await books.apply(ledger.id, [vouching(unit.key)])
    await say(books, ledger, unit.key, Kind.PROCESSING)
    await books.apply(ledger.id, [move(unit.key, Kind.SUCCESS, queued=True, started=True)])
    assert ledger.kinds(unit.unit) == ["claimed", "queued", "processing", "success"]


@pytest.mark.parametrize(
    "spoil",
    [
        {"why": "a\x00b", "kind": Kind.ERROR},
        {"why": "\ud800", "kind": Kind.ERROR},
        {"result": "{", "kind": Kind.SUCCESS},
        {"holder": "\x00"},
        {"who": "a\x00"},
        {"output": "\ud800"},
        {"unit": 2**63},
        {"attempt": 2**31},
    ],
    ids=lambda spoil: next(iter(spoil)),
)
@pytest_twisted.ensureDeferred
async def test_bad_data_is_refused_and_nothing_of_the_flush_applied(
    books: Books, ledger: Ledger, spoil: dict[str, object]
) -> None:
    good, bad = await open_attempts(books, 2)
    moves = [move(good.key, Kind.SUCCESS), move(bad.key, Kind.SUCCESS)]
    for name, value in spoil.items():
        setattr(moves[1], name, value)
    with pytest.raises(BadDataError):
        await books.apply(ledger.id, moves)
    assert ledger.statuses(good.unit, bad.unit) == ["sent", "sent"]
    assert await books.apply(ledger.id, moves[:1]) == []


@pytest_twisted.ensureDeferred
async def test_an_empty_flush(books: Books, ledger: Ledger) -> None:
    assert await books.apply(ledger.id, []) == []


@pytest_twisted.ensureDeferred
async def test_the_same_flush_again_changes_nothing(books: Books, ledger: Ledger) -> None:
    """Its answer was lost, and so it is sent again."""
    units = await open_attempts(books, 4)
    kinds = [Kind.QUEUED, Kind.PROCESSING, Kind.SUCCESS, Kind.FAILED]
    moves = [move(unit.key, kind) for unit, kind in zip(units, kinds, strict=True)]
    await books.apply(ledger.id, moves)
    state = "SELECT u.*::text, (SELECT count(*) FROM events) FROM units u ORDER BY u.id"
    before = ledger.sql(state)
    verdicts = await apply(books, ledger.id, *moves)
    assert {verdict.applied for verdict in verdicts} == {None}
    assert ledger.sql(state) == before
