from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from random import Random
from typing import Any

import attrs
import pytest
import pytest_twisted
from ledger_support import (
    Ledger,
    apply,
    connect,
    lead,
    move,
    open_attempts,
    order,
    say,
    together,
    vouching,
)
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from rtb.ledger import BadDataError, Books
from rtb.ledger.queries import QUERIES
from rtb.model.lifecycle import Kind
from rtb.model.orders import NewOrder, NewUnit
from rtb.model.wire import Unit


@pytest_twisted.ensureDeferred
async def test_a_claim_opens_attempts(books: Books, ledger: Ledger) -> None:
    await lead(books, capacity=2)
    new = NewOrder(
        account="Ada L.",
        workload="w",
        priority=-4,
        units=[NewUnit("first", b'{"a": [1, "\xc3\xa9"]}'), NewUnit(), NewUnit("third", b"7")],
    )
    answer = await books.place(new)
    placed, going = answer["id"], answer["going"]
    assert not going
    await books.set_going(True)
    claim = await books.claim("outbox", 99)
    assert claim.ledger == ledger.id
    assert [(unit.name, bytes(unit.payload)) for unit in claim.units] == [
        ("first", b'{"a": [1, "\xc3\xa9"]}'),
        ("#2", b"null"),
    ]
    first = claim.units[0]
    assert (first.attempt, first.account, first.weight, first.priority) == (1, "Ada L.", 1.0, -4)
    assert (first.workload, first.limit, first.order) == ("w", None, placed)
    assert ledger.statuses(*(unit.unit for unit in claim.units)) == ["sent", "sent"]
    assert ledger.kinds(first.unit) == ["claimed"]
    assert (await books.claim("outbox", 99)).units == []
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_stopped_gate_claims_nothing(books: Books, ledger: Ledger) -> None:
    await lead(books)
    await books.place(order(3))
    assert (await books.claim("outbox", 9)).units == []
    await books.set_going(True)
    assert len((await books.claim("outbox", 1)).units) == 1
    await books.set_going(False)
    assert (await books.claim("outbox", 9)).units == []


@pytest_twisted.ensureDeferred
async def test_a_claim_that_finds_no_room_writes_nothing(books: Books, ledger: Ledger) -> None:
    """Nor does one without the gate, whatever became free since that was asked for."""
    await lead(books, capacity=2)
    await books.set_going(True)
    gate = "SELECT claims, xmin::text FROM gate"
    before = ledger.sql(gate)
    assert (await books.claim(None, 9)).units == []
    assert ledger.sql(gate) == before, "there is nothing to claim"
    await books.place(order(5))
    assert len((await books.claim(None, 9)).units) == 2
    full = ledger.sql(gate)
    assert full != before
    assert (await books.claim(None, 9)).units == []
    assert ledger.sql(gate) == full, "there is no room"
    await lead(books, capacity=4)
    found = ledger.sql(QUERIES["claim"] % {"box": "NULL", "most": "9", "api": "1"})
    assert len(found) == 1, "no more than what a flush would have left"
    assert len((await books.claim(None, 9)).units) == 2


@pytest_twisted.ensureDeferred
async def test_a_box_gets_only_what_it_offers(books: Books, ledger: Ledger) -> None:
    await lead(books, workloads=["scene", "w"])
    for workload in ("coinflip", "scene", "scene2"):
        await books.place(order(2, workload=workload))
    await books.set_going(True)
    assert {unit.workload for unit in (await books.claim("outbox", 9)).units} == {"scene"}
    await lead(books, "second", leader="l2", workloads=[])
    assert (await books.claim("second", 9)).units == []
    assert (await books.claim("nobody", 9)).units == []


@pytest_twisted.ensureDeferred
async def test_a_box_that_does_not_report_gets_nothing_after_three_epochs(
    books: Books, ledger: Ledger
) -> None:
    await lead(books)
    await books.place(order(9))
    await books.set_going(True)
    for ended in range(4):
        if ended:
            await books.end_epoch(*(await books.epoch()))
        vouched = ended < 3
        assert bool((await books.claim("outbox", 1)).units) is vouched, ended
    await lead(books)
    assert len((await books.claim("outbox", 1)).units) == 1


@pytest_twisted.ensureDeferred
async def test_a_box_whose_leader_said_goodbye_gets_nothing(books: Books, ledger: Ledger) -> None:
    await lead(books)
    await lead(books, gone=True)
    await books.place(order(9))
    await books.set_going(True)
    assert (await books.claim("outbox", 1)).units == []


@pytest_twisted.ensureDeferred
async def test_a_smaller_n_takes_no_unit_back(books: Books, ledger: Ledger) -> None:
    units = await open_attempts(books, 6)
    await lead(books, capacity=4)
    await books.place(order(9))
    assert (await books.claim("outbox", 9)).units == []
    assert set(ledger.statuses(*(unit.unit for unit in units))) == {"sent"}
    for unit in units[:3]:
        await say(books, ledger, unit.key, Kind.PROCESSING)
    assert len((await books.claim("outbox", 9)).units) == 1


@pytest_twisted.ensureDeferred
async def test_the_emptiest_box_is_first(books: Books, ledger: Ledger) -> None:
    for box, capacity in (("a", 3), ("b", 9), ("c", 5)):
        await lead(books, box, leader=box, capacity=capacity)
    await books.place(order(20))
    await books.set_going(True)
    claims = [await books.claim(None, 6) for _ in range(5)]
    # Rooms of 3, 9 and 5: after six for b it has 3, as a has; the one that was there first is next.
    assert [claim.box for claim in claims] == ["b", "c", "a", "b", ""]
    assert [claim.boxes for claim in claims] == [3, 3, 2, 1, 0]
    assert [len(claim.units) for claim in claims] == [6, 5, 3, 3, 0]


@pytest_twisted.ensureDeferred
async def test_four_claimers_never_exceed_n(
    open_books: Callable[..., Books], ledger: Ledger, request: pytest.FixtureRequest
) -> None:
    """T12. PostgreSQL itself refuses whoever would commit more than N, at every statement."""
    bound, total = 10, 240
    check = f"CHECK (kind <> 'box' OR sent + queued <= {bound})"
    ledger.sql(f"ALTER TABLE counters ADD CONSTRAINT bound {check}")
    request.addfinalizer(lambda: ledger.sql("ALTER TABLE counters DROP CONSTRAINT bound"))
    claimers = [open_books() for _ in range(4)]
    await lead(claimers[0], capacity=bound)
    for account in ("ada", "bob", "cy"):
        await claimers[0].place(order(total // 3, account))
    await claimers[0].set_going(True)
    done: Counter[tuple[int, int]] = Counter()
    fullest = 0

    async def work(books: Books, random: Random) -> None:
        nonlocal fullest
        while sum(done.values()) < total:
            units = (await books.claim("outbox", random.randint(1, 12))).units
            assert len(units) <= bound
            fullest = max(fullest, len(units))
            random.shuffle(units)
            while units:
                part = [units.pop() for _ in range(min(len(units), random.randint(1, 4)))]
                if random.random() < 0.5:
                    await books.apply(ledger.id, [vouching(unit.key) for unit in part])
                if random.random() < 0.5:
                    await books.apply(ledger.id, [move(u.key, Kind.PROCESSING) for u in part])
                await books.apply(ledger.id, [move(u.key, Kind.SUCCESS) for u in part])
                done.update(unit.key for unit in part)

    await together(*(work(books, Random(seed)) for seed, books in enumerate(claimers)))
    assert set(done.values()) == {1}, "claimed twice"
    assert ledger.sql("SELECT status, count(*) FROM units GROUP BY status") == [("success", total)]
    assert fullest > 1
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_claim_counts_when_it_has_the_gate_and_not_before(
    books: Books, ledger: Ledger, reactor: Any
) -> None:
    """Whatever was committed while it waited counts, or two claims would fill one place."""
    await lead(books, capacity=9)
    await books.place(order(9))
    await books.set_going(True)
    competitor = connect(ledger.database)
    competitor.autocommit = False
    with competitor.cursor() as cursor:
        cursor.execute("SELECT FROM gate FOR UPDATE")
        claiming = Deferred.fromCoroutine(books.claim("outbox", 9))
        while not ledger.one("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not claiming.called
            await deferLater(reactor, 0.01, lambda: None)
        cursor.execute("UPDATE boxes SET capacity = 2")
    competitor.commit()
    competitor.close()
    assert len((await claiming).units) == 2


# ---- fair use: the claim in SQL beside the rule, asked anew for each place


@attrs.define
class Sheet:
    """What is known of a unit."""

    id: int
    account: int
    workload: str
    rank: tuple[int, int, int]
    status: str = "waiting"
    box: str = ""
    attempt: int = 0
    delayed: bool = False


@attrs.define
class Oracle:
    """A slow and simple ledger."""

    weights: dict[int, float]
    sheets: dict[int, Sheet] = attrs.field(factory=dict)
    served: Counter[int] = attrs.field(factory=Counter)
    claims: int = 0

    def flying(self, account: int) -> int:
        return sum(
            sheet.account == account and sheet.status in ("sent", "queued", "processing")
            for sheet in self.sheets.values()
        )

    def on_the_way(self, box: str) -> int:
        return sum(s.box == box and s.status in ("sent", "queued") for s in self.sheets.values())

    def line(self, account: int, workloads: list[str]) -> list[Sheet]:
        """Return what may be claimed of *account*, in its order."""
        return sorted(
            (
                sheet
                for sheet in self.sheets.values()
                if sheet.account == account
                and sheet.status == "waiting"
                and not sheet.delayed
                and sheet.workload in workloads
            ),
            key=lambda sheet: sheet.rank,
        )

    def key(self, account: int) -> Fraction:
        return Fraction(self.flying(account) + 1) / Fraction(self.weights[account])

    def claim(self, box: str, workloads: list[str], room: int) -> list[tuple[int, int]]:
        self.claims += 1
        picked: list[Sheet] = []
        for _ in range(room):
            waiting = [a for a in self.weights if self.line(a, workloads)]
            if not waiting:
                break
            # Who was served longest ago is counted in claims: within one, nobody is newer.
            account = min(waiting, key=lambda a: (self.key(a), self.served[a], a))
            assert all(self.key(other) >= self.key(account) for other in waiting)
            sheet = self.line(account, workloads)[0]
            sheet.status, sheet.box, sheet.attempt = "sent", box, sheet.attempt + 1
            picked.append(sheet)
        for sheet in picked:
            self.served[sheet.account] = self.claims
        return [(sheet.id, sheet.attempt) for sheet in picked]


BOXES = {"one": (["w"], 4), "two": (["v", "w"], 9), "three": (["u", "v"], 3)}


@pytest.mark.parametrize("seed", range(8))
@pytest_twisted.ensureDeferred
async def test_claims_are_in_the_fair_order(books: Books, ledger: Ledger, seed: int) -> None:
    random = Random(seed)
    names = ["ada", "bob", "cy", "dot"][: random.randint(2, 4)]
    oracle = Oracle({})
    for name in names:
        weight = random.choice([0.5, 1.0, 1.0, 2.0, 3.0])
        account = ledger.one(
            "INSERT INTO accounts (name, weight) VALUES (%s, %s) RETURNING id", name, weight
        )
        oracle.weights[account] = weight
    for box, (workloads, capacity) in BOXES.items():
        await lead(books, box, leader=box, capacity=capacity, workloads=workloads)
    await books.set_going(True)
    claimed = 0
    for _ in range(30):
        step = random.choice(["place", "claim", "claim", "claim", "move", "move", "wake"])
        if step == "place":
            await place(books, ledger, oracle, random, names)
        elif step == "claim":
            box = random.choice(list(BOXES))
            workloads, capacity = BOXES[box]
            most = random.randint(1, 8)
            room = max(0, min(most, capacity - oracle.on_the_way(box)))
            upcoming = [unit["id"] for unit in await books_next(ledger)]
            claim = await books.claim(box, most)
            expected = oracle.claim(box, workloads, room)
            assert [unit.key for unit in claim.units] == expected, (box, most)
            check_units(claim.units, oracle)
            claimed += len(expected)
            assert len(upcoming) == len(set(upcoming))
        elif step == "move":
            await move_some(books, ledger, oracle, random)
        else:
            ledger.sql("UPDATE units SET not_before = now() WHERE not_before IS NOT NULL")
            await books.wake()
            for sheet in oracle.sheets.values():
                sheet.delayed = False
    assert claimed
    assert ledger.wrong_counts() == []


async def place(
    books: Books, ledger: Ledger, oracle: Oracle, random: Random, names: list[str]
) -> None:
    workload, priority = random.choice("uvw"), random.randint(-1, 1)
    new = order(random.randint(1, 6), random.choice(names), workload, priority)
    placed = (await books.place(new))["id"]
    for unit, account in ledger.sql(
        "SELECT u.id, o.account_id FROM units u JOIN orders o ON o.id = u.order_id WHERE o.id = %s",
        placed,
    ):
        oracle.sheets[unit] = Sheet(unit, account, workload, (-priority, placed, unit))


async def move_some(books: Books, ledger: Ledger, oracle: Oracle, random: Random) -> None:
    flying = [s for s in oracle.sheets.values() if s.status in ("sent", "queued", "processing")]
    moves = []
    for sheet in random.sample(flying, min(len(flying), random.randint(1, 5))):
        kind = random.choice(
            [Kind.SUCCESS, Kind.SUCCESS, Kind.PROCESSING, Kind.RETURNED, Kind.FAILED]
        )
        moves.append(move((sheet.id, sheet.attempt), kind))
    for verdict in await apply(books, ledger.id, *moves):
        sheet = oracle.sheets[verdict.key[0]]
        if verdict.applied is not None:
            sheet.status = {Kind.RETURNED: "waiting", Kind.FAILED: "waiting"}.get(
                verdict.applied, verdict.applied.value
            )
            sheet.delayed = verdict.delayed


async def books_next(ledger: Ledger) -> list[dict[str, int]]:
    from rtb.ledger.queries import QUERIES

    with ledger.connection.cursor() as cursor:
        cursor.execute(QUERIES["next"], {"limit": 20})
        return [{"id": row[0]} for row in cursor.fetchall()]


def check_units(units: list[Unit], oracle: Oracle) -> None:
    for unit in units:
        sheet = oracle.sheets[unit.unit]
        assert (unit.workload, unit.order) == (sheet.workload, sheet.rank[1])
        assert unit.weight == oracle.weights[sheet.account]


@pytest_twisted.ensureDeferred
async def test_a_second_workload_does_not_make_an_account_two(books: Books, ledger: Ledger) -> None:
    """An account that was served begins no second life with its first order for another one."""
    await lead(books, workloads=["v", "w"], capacity=99)
    await books.set_going(True)
    await books.place(order(9, "ada", "w"))
    first = (await books.claim("outbox", 2)).units
    await books.place(order(9, "ada", "v"))
    units = (await books.claim("outbox", 5)).units
    keys = [unit.key for unit in units]
    assert len(keys) == len(set(keys)) == 5
    opened = ledger.sql("SELECT unit_id, attempt FROM flights ORDER BY unit_id")
    assert sorted(keys + [unit.key for unit in first]) == opened


@pytest_twisted.ensureDeferred
async def test_next_is_what_is_claimed_next(books: Books, ledger: Ledger) -> None:
    await lead(books, workloads=["v", "w"], capacity=5)
    await books.set_going(True)
    for account, workload, priority in itertools.product(("ada", "bob"), ("v", "w"), (0, 1)):
        await books.place(order(2, account, workload, priority))
    for _ in range(3):
        upcoming = [unit["id"] for unit in await books_next(ledger)]
        units = (await books.claim("outbox", 5)).units
        assert [unit.unit for unit in units] == upcoming[:5]
        await books.apply(ledger.id, [move(unit.key, Kind.SUCCESS) for unit in units])


@pytest_twisted.ensureDeferred
async def test_a_flush_claims_for_the_places_that_it_frees(books: Books, ledger: Ledger) -> None:
    await lead(books, capacity=3)
    await books.place(order(9))
    await books.set_going(True)
    first = (await books.claim(None, 99)).units
    assert len(first) == 3
    begun = [move(unit.key, Kind.PROCESSING) for unit in first[:2]]
    late = move((first[2].unit, 7), Kind.SUCCESS)
    # One is told of, one has no word left to say, two places are free.
    verdicts, claim = await books.turn(ledger.id, [*begun, late], None, 99)
    assert [(verdict.key, verdict.known) for verdict in verdicts] == [(late.key, False)]
    assert [unit.unit for unit in claim.units] == [4, 5]
    assert (claim.ledger, claim.box, claim.leader, claim.boxes) == (ledger.id, "outbox", "l1", 1)
    assert ledger.one("SELECT sent + queued FROM counters WHERE kind = 'box'") == 3
    assert ledger.one("SELECT count(DISTINCT at) FROM history WHERE unit_id IN (1, 2, 4, 5)") == 2
    # Nothing is free, and nothing odd was said.
    vouched = [vouching(unit.key) for unit in claim.units]
    verdicts, claim = await books.turn(ledger.id, vouched, None, 99)
    assert (verdicts, claim.units, claim.count, claim.boxes) == ([], [], 0, 0)
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_flush_that_is_refused_claims_nothing(books: Books, ledger: Ledger) -> None:
    await lead(books, capacity=1)
    await books.place(order(2))
    await books.set_going(True)
    (unit,) = (await books.claim(None, 99)).units
    bad = move(unit.key, Kind.SUCCESS, result="{")
    with pytest.raises(BadDataError):
        await books.turn(ledger.id, [bad], None, 99)
    assert ledger.statuses(1, 2) == ["sent", "waiting"]
    _, claim = await books.turn(ledger.id, [move(unit.key, Kind.SUCCESS)], None, 99)
    assert ledger.statuses(1, 2) == ["success", "sent"]
    assert [unit.unit for unit in claim.units] == [2]
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_a_flush_that_claims_waits_for_nobody_who_waits_for_it(
    books: Books, ledger: Ledger
) -> None:
    await lead(books, capacity=2)
    await books.place(order(4))
    await books.set_going(True)
    first = (await books.claim(None, 99)).units
    person = connect(ledger.database)
    try:
        # Somebody cancels the unit that comes next, and has not come to the counters yet.
        person.autocommit = False
        with person.cursor() as cursor:
            cursor.execute("SELECT FROM units WHERE id = 3 FOR UPDATE")
            moves = [move(unit.key, Kind.SUCCESS) for unit in first]
            _, claim = await books.turn(ledger.id, moves, None, 99)
            assert [unit.unit for unit in claim.units] == [4]
            cursor.execute("UPDATE units SET priority = 1 WHERE id = 3")
        person.commit()
    finally:
        person.close()
    assert [unit.unit for unit in (await books.claim(None, 99)).units] == [3]
    assert ledger.wrong_counts() == []


@pytest_twisted.ensureDeferred
async def test_flushes_that_claim_keep_the_bound_beside_other_claims(
    open_books: Callable[..., Books], ledger: Ledger
) -> None:
    one, other = open_books(), open_books()
    await lead(one, capacity=5)
    await one.place(order(120))
    await one.set_going(True)
    open_units = (await one.claim(None, 99)).units
    while open_units:
        moves = [move(unit.key, Kind.SUCCESS) for unit in open_units[:3]]
        (_, mine), theirs, more = await together(
            one.turn(ledger.id, moves, None, 99), other.claim(None, 99), one.claim(None, 99)
        )
        open_units = open_units[3:] + mine.units + theirs.units + more.units
    bound = """SELECT max(n) FROM (
        SELECT sum(CASE WHEN kind = 'claimed' THEN 1 WHEN kind = 'success' THEN -1 END)
               OVER (ORDER BY id) AS n FROM history) flow"""
    assert ledger.one(bound) == 5
    assert ledger.one("SELECT count(*) FROM units WHERE status = 'success'") == 120
    assert ledger.wrong_counts() == []
