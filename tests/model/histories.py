"""A random-fault model of the pipeline: the protocol alone, without any of its code.

Every step of every process is atomic; between any two of them a process may die or stand still, a
message or a confirm may be lost, the broker may crash (and lose everything), a link may drop. When
the faults are over, all units must settle. *off* takes one mechanism away.
"""

from __future__ import annotations

import collections
import itertools
import random
from typing import Any

UNITS, BOUND, SLOTS, FAULTY, END = 20, 4, 2, 500, 2600
BOXES = {"a": 2, "b": 1}  # leaders by box: one of a's stands by
OPEN = ("sent", "queued", "processing")
RANK = {"claimed": 0, "queued": 1, "processing": 2}
EPOCH = 24


class BrokenError(Exception):
    """An invariant does not hold."""


class Queue:
    """Durable: what a dead consumer had not acked comes again, and is flagged."""

    def __init__(self) -> None:
        self.ready: list[list[Any]] = []
        self.unacked: dict[Any, list[list[Any]]] = collections.defaultdict(list)

    def put(self, body: Any) -> None:
        self.ready.append([body, False])

    def get(self, consumer: Any) -> list[Any] | None:
        if not self.ready:
            return None
        message = self.ready.pop(0)
        self.unacked[consumer].append(message)
        return message

    def ack(self, consumer: Any, message: Any) -> None:
        kept = self.unacked[consumer]
        self.unacked[consumer] = [other for other in kept if other is not message]

    def drop(self, consumer: Any) -> None:
        for message in reversed(self.unacked.pop(consumer, [])):
            message[1] = True
            self.ready.insert(0, message)


class Row:
    def __init__(self) -> None:
        self.status, self.active, self.attempt = "waiting", None, 0
        self.box, self.holder, self.seen, self.started = "", None, 0, 0
        self.outcomes = 0


class World:
    def __init__(self, seed: int, off: str = "", faults: str = "all") -> None:
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
        if self.off == "attempt":  # compares the attempt, not whether it is open
            fits = row.attempt == key[1] and row.status not in ("success", "error")
        else:
            fits = row.active == key[1] or self.off == "fence"
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
            if self.off == "attempt" and row.attempt == key[1] and row.status == "waiting":
                row.status, row.active, row.box = "sent", key[1], box
            if row.active == key[1]:
                row.seen, row.holder = self.epoch, leader
                if row.status == "sent":
                    row.status = "queued"
            else:
                closed.append(key)
        if self.off == "names":  # "leader X is alive" instead of a list
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
        if self.off != "rescue":
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


class Proc:
    def __init__(self, world: World) -> None:
        self.world, self.alive, self.back, self.paused_until = world, True, 0, 0
        self.session: Any = None
        self.born()

    def born(self) -> None:
        self.id = next(self.world.ids)

    def turn(self) -> None:
        if not self.alive and self.world.now >= self.back:
            self.alive = True
            self.born()
        if self.alive and self.paused_until <= self.world.now:
            self.step()

    def die(self, away: int) -> None:
        self.alive, self.back = False, self.world.now + away
        self.cut()

    def cut(self) -> None:
        """Its connections end, whether it knows or not."""

    def step(self) -> None:
        raise NotImplementedError


class Api(Proc):
    def born(self) -> None:
        super().born()
        self.unsent: list[Any] = []
        self.now_applying: Any = None
        self.counted: Any = None
        self.barrier_at, self.epoch = self.world.now, -1

    def cut(self) -> None:
        self.world.inbox.drop(self.id)
        if self.world.active_api is self:
            self.world.active_api = None

    def die(self, away: int) -> None:
        super().die(away)
        self.now_applying = None

    def step(self) -> None:
        world = self.world
        if world.active_api is None and world.up:
            world.active_api = self
        luck = world.random.random()
        if luck < 0.3:
            self.dispatch()
        elif luck < 0.9:
            for _ in range(6):
                self.apply()
        elif world.epoch != self.epoch:
            self.epoch, self.barrier_at = world.epoch, world.now
        elif world.now - self.barrier_at > EPOCH:
            self.barrier_at = world.now
            world.publish(world.inbox, ("barrier", world.epoch))

    def dispatch(self) -> None:
        world = self.world
        if self.unsent:
            box, keys = self.unsent.pop(0)
            if not world.publish(world.boxes[box], keys) and world.off == "republish":
                self.unsent.append((box, keys))
            return
        box = world.random.choice(list(BOXES))
        if world.off == "gate":  # counts in one transaction, claims in another
            if self.counted is None:
                self.counted = box, world.room(box)
                return
            (box, room), self.counted = self.counted, None
        else:
            room = world.room(box)
        if world.leaders[box] is not None and world.up and (keys := world.claim(box, room)):
            self.unsent.append((box, keys))

    def apply(self) -> None:
        world = self.world
        if self.now_applying is None and world.active_api is self:
            self.now_applying = world.inbox.get(self.id)
        elif self.now_applying is not None:
            message, self.now_applying = self.now_applying, None
            self.book(*message[0])
            if not world.chance(0.05):  # else it dies or is cut between commit and ack
                world.inbox.ack(self.id, message)
            else:
                self.cut()

    def book(self, what: str, *rest: Any) -> None:
        world = self.world
        if what == "barrier":
            world.barrier(*rest)
        elif what == "report":
            box, leader, keys, first = rest
            closed = world.report(box, leader, keys, first)
            if not world.chance(0.1):  # control messages may be lost
                for proc in world.procs:
                    if isinstance(proc, Leader | Agent) and proc.box == box:
                        proc.control(leader, closed)
        elif what == "holding":
            for unit, attempt in rest[0]:
                if world.rows[unit].active == attempt:
                    world.rows[unit].seen = world.epoch
        else:
            world.say(rest[0], what)


class Leader(Proc):
    def __init__(self, world: World, box: str) -> None:
        self.box = box
        super().__init__(world)

    def born(self) -> None:
        super().born()
        self.phase = "standby"
        self.tracker: dict[Any, list[Any]] = {}  # key -> [place, agent, session]
        self.words: list[Any] = []
        self.letter: Any = None
        self.cut_off = False
        self.next_report = 0

    def queued(self) -> int:
        return sum(entry[0] in ("new", "stored", "given") for entry in self.tracker.values())

    def cut(self) -> None:
        self.cut_off = True
        self.world.boxes[self.box].drop(self.id)
        if self.world.locks[self.box] is self:
            self.world.locks[self.box] = None

    def control(self, leader: Any, closed: list[Any]) -> None:
        if closed == ["refused"]:
            if leader == self.id and self.alive:
                self.cut()
            return
        for key in closed:
            self.tracker.pop(key, None)

    def step(self) -> None:
        world = self.world
        if self.cut_off and world.random.random() < 0.7:  # until it notices, it acts
            if world.up:
                self.born()
            return
        if self.phase == "standby":
            if world.up and world.locks[self.box] is None:
                world.locks[self.box] = self
                self.phase, self.until = "calling", world.now + 6
                self.words = [("report", self.box, self.id, [], False)]
            return
        self.read_tracks()
        if self.words and world.publish(world.inbox, self.words[0]):
            self.words.pop(0)
        if self.phase == "calling":
            if world.now >= self.until and not self.words:
                self.phase = "leading"
                if world.off != "first":
                    self.words = [("report", self.box, self.id, list(self.tracker), True)]
            return
        if world.now >= self.next_report:
            self.next_report = world.now + EPOCH // 3
            self.words.append(("report", self.box, self.id, list(self.tracker), False))
            for agent in world.agents:  # a word to each, so that a lost hand-out shows
                if agent.box == self.box and agent.connected:
                    agent.number += 1
                    agent.queue.append((self.id, None, agent.number))
        self.take_in()
        self.hand_out()

    def take_in(self) -> None:
        world, box = self.world, self.world.boxes[self.box]
        if self.letter is None and not self.cut_off and world.up:
            self.letter = box.get(self.id)
        if self.letter is None:
            return
        keys, redelivered = self.letter
        strange = [key for key in keys if key not in self.tracker]
        if redelivered and world.off != "redelivered":
            self.words += [("returned", key) for key in strange]
            box.ack(self.id, self.letter)
            self.letter = None
            return
        if self.queued() + len(strange) > BOUND and world.off != "cap":
            return
        if not world.publish(world.inbox, ("report", self.box, self.id, keys, False)):
            return
        if not world.chance(0.03):
            box.ack(self.id, self.letter)
        else:
            self.cut()
        self.letter = None
        for key in strange:
            self.tracker[key] = ["stored", None, 0, 0]

    def hand_out(self) -> None:
        world = self.world
        for key, entry in list(self.tracker.items()):
            if entry[0] != "stored":
                continue
            agents = [a for a in world.agents if a.box == self.box and a.known_by(self)]
            if not agents:
                return
            agent = world.random.choice(agents)
            agent.number += 1
            entry[:] = ["given", agent.id, agent.session, agent.number]
            if not world.up or not agent.connected:
                self.tracker.pop(key)
                self.words.append(("returned", key))
            elif not world.chance(0.03):
                agent.queue.append((self.id, key, agent.number))
            agent.load += 1

    def read_tracks(self) -> None:
        tracks, self.world.tracks[self.box] = self.world.tracks[self.box], []
        for agent, session, heard, holding, at in tracks:
            for key, entry in list(self.tracker.items()):
                if entry[1] != agent or key in holding:
                    continue
                if entry[0] == "running" or entry[3] <= heard:
                    del self.tracker[key]
                elif entry[2] < session:
                    del self.tracker[key]
                    self.words.append(("returned", key))
            for key in holding:
                self.tracker[key] = ["running", agent, at, 0]
        living = {agent.id for agent in self.world.agents}
        for key, (place, agent, since, _) in list(self.tracker.items()):
            silent = place == "running" and self.world.now - since > EPOCH
            if silent or (place == "given" and agent not in living):
                del self.tracker[key]  # no longer vouched for


class Agent(Proc):
    def __init__(self, world: World, box: str) -> None:
        self.box = box
        super().__init__(world)

    def born(self) -> None:
        super().born()
        self.holding: dict[Any, list[Any]] = {}
        self.queue: list[Any] = []
        self.words: list[Any] = []
        self.leader: Any = None
        self.number = self.heard = 0
        self.leader_at, self.said_at, self.load = self.world.now, 0, 0
        self.session, self.connected = next(self.world.ids), False

    def known_by(self, leader: Leader) -> bool:
        return self.alive and self.load < SLOTS

    def cut(self) -> None:
        self.connected, self.queue = False, []

    def die(self, away: int) -> None:
        super().die(away)
        self.holding = {}

    def control(self, leader: Any, closed: list[Any]) -> None:
        if self.connected and closed != ["refused"]:
            for key in closed:
                self.holding.pop(key, None)

    def step(self) -> None:
        world = self.world
        if not self.connected and world.up:
            self.connected, self.session, self.said_at = True, next(world.ids), 0
        lead = world.locks[self.box]
        if lead is not None and self.connected and lead.alive and lead.paused_until <= world.now:
            self.leader, self.leader_at = lead.id, world.now
        while self.queue:
            leader, key, self.heard = self.queue.pop(0)
            if key is None:
                continue
            if leader != self.leader or len(self.holding) >= SLOTS:
                self.words.append(("returned", key))
            elif key not in self.holding:
                long = 200 if world.kinds == "leaders" else 60
                self.holding[key] = [world.random.randrange(3, long), None]
                world.ran[key] += 1
                if world.ran[key] > 1:
                    raise BrokenError("an attempt ran twice")
                self.words.append(("processing", key))
        for key, entry in list(self.holding.items()):
            entry[0] -= 1
            if entry[0] == 0:
                world.ended[key] = world.random.choice(["success", "success", "error"])
                self.words.append((world.ended[key], key))
        if self.words and self.connected and world.publish(world.inbox, self.words[0]):
            word, key = self.words.pop(0)
            if word in ("success", "error"):
                self.holding.pop(key, None)
        self.load = len(self.holding) + len(self.queue)
        if self.connected and world.now - self.said_at >= 4:
            self.said_at = world.now
            if not world.chance(0.05):
                state = (self.id, self.session, self.heard, list(self.holding), world.now)
                world.tracks[self.box].append(state)
            if world.now - self.leader_at > EPOCH // 2 and world.off != "selfvouch":
                world.publish(world.inbox, ("holding", list(self.holding)))
