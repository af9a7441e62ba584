"""Fair use at both doors, against an oracle that looks at everybody before each place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from random import Random

import attrs
import msgspec
import pytest

from rtb.model import fairuse
from rtb.model.fairuse import Claimant
from rtb.model.outlook import Line, Rival, Scene, due, reason, reasons, turn
from rtb.model.tracker import Tracker
from rtb.model.wire import Held, Unit

WEIGHTS = {"ann": 1.0, "bob": 1.0, "cat": 2.0, "dan": 0.5, "eve": 3.0}
HISTORIES = 10_000


@attrs.define
class Account:
    name: str
    waiting: dict[str, list[int]] = attrs.field(factory=lambda: defaultdict(list))
    flying: int = 0
    served: int = 0

    @property
    def weight(self) -> float:
        return WEIGHTS[self.name]


@attrs.define
class Box:
    name: str
    capacity: int
    workloads: tuple[str, ...]
    tracker: Tracker
    running: dict[tuple[int, int], str] = attrs.field(factory=dict)


class System:
    """A ledger, some boxes with their trackers, and who looks over their shoulders."""

    def __init__(self, random: Random) -> None:
        self.random = random
        names = random.sample(sorted(WEIGHTS), random.randint(2, 5))
        self.accounts = {name: Account(name) for name in names}
        self.boxes = [
            Box(name, capacity, offers, Tracker(capacity))
            for name, capacity, offers in (
                ("one", random.randint(1, 6), ("x",)),
                ("two", random.randint(1, 6), ("x", "y")),
                ("six", random.randint(1, 3), ("y",)),
            )
        ]
        self.units = 0
        self.claims = 0
        self.places = 0
        self.out_of_turn = 0
        self.idle = 0

    def step(self) -> None:
        self.random.choice((self.order, self.claim, self.claim, self.hand_out, self.end))()

    def order(self) -> None:
        account = self.random.choice(list(self.accounts.values()))
        for _ in range(self.random.choice((1, 2, 9))):
            self.units += 1
            account.waiting[self.random.choice("xy")].append(self.units)

    def claim(self) -> None:
        """The ledger's door: as many places as the box has room for."""
        box = self.random.choice(self.boxes)
        self.claims += 1
        for _ in range(box.tracker.room):
            able = [a for a in self.accounts.values() if any(a.waiting[w] for w in box.workloads)]
            claimants = [Claimant(a.name, a.weight, a.flying, a.served) for a in able]
            chosen = fairuse.first(claimants)
            if chosen is None:
                self.idle += bool(able)
                break
            self.judge(chosen.account, {a.name: (a.flying, a.served) for a in able})
            account = self.accounts[chosen.account]
            workload = next(w for w in box.workloads if account.waiting[w])
            unit = account.waiting[workload].pop(0)
            account.flying += 1
            account.served = self.places
            arrived = _unit(unit, account, workload)
            box.tracker.arrive(arrived)
            box.tracker.store([arrived.key])

    def hand_out(self) -> None:
        """The tracker's door: to whoever has free slots."""
        box = self.random.choice(self.boxes)
        stored = defaultdict(int)
        handed = defaultdict(int)
        for entry in box.tracker:
            stored[entry.account] += entry.place.name == "STORED"
            handed[entry.account] += entry.place.name in ("GIVEN", "RUNNING")
        most = self.random.randint(1, 4)
        taken = box.tracker.take(most)
        self.idle += len(taken) != min(most, sum(stored.values()))
        for unit in taken:
            holds = {name: (handed[name], None) for name in stored if stored[name]}
            self.judge(unit.account, holds)
            stored[unit.account] -= 1
            handed[unit.account] += 1
            box.tracker.give([unit], "agent", 1, 1)
            if self.random.random() < 0.7:
                box.tracker.adopt(Held(*unit.key, True, unit.account), "agent")
            box.running[unit.key] = unit.account

    def end(self) -> None:
        box = self.random.choice(self.boxes)
        if box.running:
            key = self.random.choice(list(box.running))
            self.accounts[box.running.pop(key)].flying -= 1
            box.tracker.remove(key)

    def judge(self, chosen: str, waiting: dict[str, tuple[int, int | None]]) -> None:
        """Nobody who waits has a smaller key; of those with the same, none waits for longer."""
        self.places += 1
        keys = {
            name: Fraction(holds + 1) / Fraction(WEIGHTS[name])
            for name, (holds, _) in waiting.items()
        }
        if any(key < keys[chosen] for key in keys.values()):
            self.out_of_turn += 1
        served = waiting[chosen][1]
        if served is not None and any(
            keys[name] == keys[chosen] and other is not None and other < served
            for name, (_, other) in waiting.items()
        ):
            self.out_of_turn += 1


def _unit(number: int, account: Account, workload: str) -> Unit:
    return Unit(
        number, 1, account.name, account.weight, 0, workload, None, 1, f"u{number}",
        msgspec.Raw(b"null"),
    )  # fmt: skip


def test_no_place_is_given_out_of_turn_and_none_stays_empty() -> None:
    places = 0
    for seed in range(HISTORIES):
        system = System(Random(seed))
        for _ in range(25):
            system.step()
        assert (system.out_of_turn, system.idle) == (0, 0), seed
        places += system.places
    assert places > 10 * HISTORIES


def test_the_oracle_can_say_no() -> None:
    system = System(Random(1))
    system.judge("ann", {"ann": (1, 0), "bob": (0, 0)})
    system.judge("ann", {"ann": (0, 2), "bob": (0, 1)})
    system.judge("cat", {"cat": (1, 0), "bob": (0, 1)})
    assert system.out_of_turn == 2


def _run_forward(rivals: list[Rival]) -> Iterator[int]:
    """Give one place after the other, by the rule, and say to whom."""
    flying = {rival.account: rival.flying for rival in rivals}
    ready = {rival.account: rival.ready for rival in rivals}
    while any(ready.values()):
        best = min(
            (rival for rival in rivals if ready[rival.account]),
            key=lambda r: ((flying[r.account] + 1) / r.weight, r.served, r.account),
        )
        flying[best.account] += 1
        ready[best.account] -= 1
        yield best.account


@pytest.mark.parametrize("seed", range(300))
def test_a_turn_is_the_rule_run_forward(seed: int) -> None:
    random = Random(seed)
    rivals = [
        Rival(
            account,
            random.choice((0.1, 0.3, 1.0, 1.0, 2.0, 7.0)),
            random.randint(0, 8),
            random.randint(0, 8),
            random.randint(0, 3),
        )
        for account in range(random.randint(1, 8))
    ]
    seen: dict[int, int] = defaultdict(int)
    for place, account in enumerate(_run_forward(rivals)):
        assert turn(rivals, account, seen[account]) == place
        seen[account] += 1


@pytest.mark.parametrize("seed", range(200))
def test_the_reasons_of_many_are_those_of_each(seed: int) -> None:
    random = Random(seed)
    rivals = [
        Rival(
            account,
            random.choice((0.3, 1.0, 1.0, 4.0)),
            random.randint(0, 5),
            random.randint(0, 9),
            random.randint(0, 3),
        )
        for account in range(random.randint(1, 6))
    ]
    scene = Scene(
        going=random.random() < 0.9, leaders=1, offering=1, slots=1,
        room=random.randint(0, 12), rate=1.0, processing=0,
    )  # fmt: skip
    lines = [
        Line(account=0, ahead=ahead, ready=int(random.random() < 0.8), delayed=1)
        for ahead in range(12)
    ]
    each = [
        reason(scene, line, turn(rivals, 0, line.ahead) if line.ready else None) for line in lines
    ]
    assert reasons(rivals, scene, lines) == each


@pytest.mark.parametrize("seed", range(100))
def test_what_is_due_adds_up_and_nobody_is_due_more_than_it_can_use(seed: int) -> None:
    random = Random(seed)
    rivals = [
        Rival(account, random.choice((0.5, 1.0, 4.0)), random.randint(0, 9), random.randint(0, 30))
        for account in range(random.randint(1, 9))
    ]
    places = sum(rival.flying for rival in rivals)
    shares = due(rivals, places)
    assert sum(shares.values()) == pytest.approx(1.0 if places else 0.0)
    level = max((shares[r.account] * places / r.weight for r in rivals), default=0.0)
    for rival in rivals:
        has = shares[rival.account] * places
        wants = rival.flying + rival.ready
        assert has <= wants + 1e-9
        assert has == pytest.approx(min(wants, level * rival.weight))
