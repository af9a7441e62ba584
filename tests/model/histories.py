"""A random-fault model of the pipeline: the protocol alone, without any of its code.

Every step of every process is atomic; between any two of them a process may die or stand still, a
message or a confirm may be lost, the broker may crash (and lose everything), a link may drop. When
the faults are over, all units must settle. *off* takes mechanisms away.
"""

from __future__ import annotations

import collections
import itertools
import random
from typing import Any

from histories_parts import (
    BOUND,
    BOXES,
    END,
    EPOCH,
    FAULTY,
    OPEN,
    RANK,
    UNITS,
    BrokenError,
    Queue,
    Row,
)
from histories_processes import Agent, Api, Leader


class World:
    def __init__(self, seed: int, off: tuple[str, ...] = (), faults: str = "all") -> None:
        self.random, self.off, self.kinds = random.Random(seed), off, faults
        self.now, self.calm, self.up, self.up_at = 0, False, True, 0
        self.ids = itertools.count(1)
        self.rows = {unit: Row() for unit in range(UNITS)}
        self.epoch, self.leaders, self.known = 0, dict.fromkeys(BOXES), set()
        self.inbox, self.boxes = Queue(), {box: Queue() for box in BOXES}
        self.tracks = {box: [] for box in BOXES}
        self.locks: dict[str, Any] = dict.fromkeys(BOXES)
        self.active_api: Any = None
        self.ran: collections.Counter[tuple[int, int]] = collections.Counter()
        self.ended: dict[tuple[int, int], str] = {}
        self.stale = 0
        #: Attempts that were closed while an agent ran them.
        self.given_up = 0
        #: Attempts that were closed before an agent began to run them.
        self.for_nothing = 0
        self.agents = [Agent(self, box) for box in ("a", "a", "b")]
        self.procs = [
            Api(self), Api(self),
            *(Leader(self, box) for box, count in BOXES.items() for _ in range(count)),
            *self.agents,
        ]  # fmt: skip

    # ---- chance

    def chance(self, share: float) -> bool:
        return not self.calm and self.kinds == "all" and self.random.random() < share

    def publish(self, queue: Queue, body: Any) -> bool:
        """Return whether it was confirmed; a lost confirm leaves the message there."""
        if not self.up or self.chance(0.02):
            return False
        queue.put(body)
        return not self.chance(0.05)

    # ---- the ledger: each method is a transaction

    def room(self, box: str) -> int:
        on_the_way = sum(r.box == box and r.status in OPEN[:2] for r in self.rows.values())
        return BOUND - on_the_way

    def claim(self, box: str, room: int) -> list[tuple[int, int]]:
        claimed = []
        for unit, row in self.random.sample(list(self.rows.items()), UNITS):
            if room > 0 and row.status == "waiting":
                row.attempt += 1
                row.status, row.active, row.box = "sent", row.attempt, box
                row.holder, row.seen = None, self.epoch
                claimed.append((unit, row.attempt))
                room -= 1
        return claimed

    def close(self, unit: int, status: str) -> None:
        row = self.rows[unit]
        key = unit, row.active
        if status == "waiting":
            self.given_up += any(key in agent.holding for agent in self.agents)
        row.active, row.status, row.holder = None, status, None

    def say(self, key: tuple[int, int], kind: str) -> bool:
        """Apply an event: only while its attempt is open, and only forward."""
        row = self.rows[key[0]]
        if "attempt" in self.off:  # compares the attempt, not whether it is open
            fits = row.attempt == key[1] and row.status not in ("success", "error")
        else:
            fits = row.active == key[1] or "fence" in self.off
        if not fits:
            self.stale += 1
            return False
        if kind in RANK:
            if row.status == "waiting":
                row.status, row.active = "sent", key[1]
            if row.status in OPEN and OPEN.index(row.status) < RANK[kind]:
                row.status = OPEN[RANK[kind]]
        elif kind == "returned":
            self.close(key[0], "waiting")
        else:
            row.outcomes += 1
            if row.outcomes > 1:
                raise BrokenError("two outcomes")
            if self.ended.get(key) != kind:
                raise BrokenError("a result that nobody produced")
            self.close(key[0], kind)
        return True

    def report(self, box: str, leader: Any, keys: list[tuple[int, int]], first: bool) -> list[Any]:
        """Return which of *keys* are closed; None-leader reports vouch only."""
        if leader not in self.known:
            self.known.add(leader)
            self.leaders[box] = leader
        if self.leaders[box] != leader:
            return ["refused"]
        closed = []
        for key in keys:
            row = self.rows[key[0]]
            if "attempt" in self.off and row.attempt == key[1] and row.status == "waiting":
                row.status, row.active, row.box = "sent", key[1], box
            if row.active == key[1]:
                row.seen, row.holder = self.epoch, leader
                if row.status == "sent":
                    row.status = "queued"
            else:
                closed.append(key)
        if "names" in self.off:  # "leader X is alive" instead of a list
            for row in self.rows.values():
                if row.active is not None and row.box == box:
                    row.seen = self.epoch
        if first:
            for unit, row in self.rows.items():
                if row.box == box and row.status == "queued" and row.holder != leader:
                    self.close(unit, "waiting")
        return closed

    def barrier(self, epoch: int) -> None:
        if epoch != self.epoch:
            return
        self.epoch += 1
        if "rescue" not in self.off:
            for unit, row in self.rows.items():
                if row.active is not None and row.seen < self.epoch - 3:
                    self.close(unit, "waiting")

    # ---- what must hold at every moment

    def check(self) -> None:
        for box in BOXES:
            if self.room(box) < 0:
                raise BrokenError("over the bound")
        for proc in self.procs:
            if isinstance(proc, Leader) and proc.queued() > BOUND:
                raise BrokenError("tracker over the bound")

    # ---- the run

    def run(self) -> World:
        while self.now < END:
            self.now += 1
            self.calm = self.now > FAULTY
            self.strike()
            for proc in self.random.sample(self.procs, len(self.procs)):
                proc.turn()
                self.check()
            if self.calm and all(row.outcomes for row in self.rows.values()):
                return self
        stuck = {unit: row.status for unit, row in self.rows.items() if not row.outcomes}
        raise BrokenError(f"stuck: {stuck}")

    def strike(self) -> None:
        if not self.up and self.now >= self.up_at:
            self.up = True
        if self.calm:
            return
        if self.kinds == "leaders":  # only leaders die, and stay away for long
            for proc in self.procs:
                if isinstance(proc, Leader) and proc.alive and self.random.random() < 0.01:
                    proc.die(self.random.randrange(100, 200))
            return
        if self.kinds == "doubt":  # and others stand still, as long, and keep their connections
            for proc in self.procs:
                luck = self.random.random()
                if not isinstance(proc, Leader) or not proc.alive or proc.paused_until > self.now:
                    continue
                if luck < 0.005:
                    proc.die(self.random.randrange(100, 200))
                elif luck < 0.01:
                    proc.paused_until = self.now + self.random.randrange(EPOCH, 9 * EPOCH)
            return
        if self.random.random() < 0.006:
            self.crash_broker()
        for proc in self.procs:
            luck = self.random.random()
            if proc.alive and luck < 0.004:
                proc.die(self.random.randrange(1, 40))
            elif proc.alive and luck < 0.008:
                proc.paused_until = self.now + self.random.randrange(5, 9 * EPOCH)
                if self.random.random() < 0.5:
                    proc.cut()
            elif proc.alive and luck < 0.011:
                proc.cut()

    def crash_broker(self) -> None:
        self.up, self.up_at = False, self.now + self.random.randrange(1, 30)
        for proc in self.procs:
            proc.cut()
        if self.random.random() < 0.3:
            self.inbox, self.boxes = Queue(), {box: Queue() for box in BOXES}
        elif self.random.random() < 0.5:
            for queue in (self.inbox, *self.boxes.values()):
                for message in queue.ready:
                    message[1] = True
