"""The processes of the model: APIs, leaders and agents, each a step at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from histories_parts import BOUND, BOXES, EPOCH, SLOTS, BrokenError

if TYPE_CHECKING:
    from histories import World


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
            box, letter = self.unsent.pop(0)
            if not world.publish(world.boxes[box], letter) and "republish" in world.off:
                self.unsent.append((box, letter))
            return
        box = world.random.choice(list(BOXES))
        if "gate" in world.off:  # counts in one transaction, claims in another
            if self.counted is None:
                self.counted = box, world.room(box)
                return
            (box, room), self.counted = self.counted, None
        else:
            room = world.room(box)
        if world.leaders[box] is not None and world.up and (keys := world.claim(box, room)):
            self.unsent.append((box, (world.leaders[box], keys)))

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
            box, leader, number, keys, first = rest
            closed = world.report(box, leader, keys, first)
            if not world.chance(0.1):  # control messages may be lost
                for proc in world.procs:
                    if isinstance(proc, Leader | Agent) and proc.box == box:
                        proc.control(leader, number, closed)
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
        self.number = 0
        #: Not handed out: key -> the number of the last report that named it.
        self.doubted: dict[Any, int] = {}
        self.mail: list[Any] = []
        self.stepped, self.unsure_until = self.world.now, 0

    def queued(self) -> int:
        return sum(entry[0] in ("new", "stored", "given") for entry in self.tracker.values())

    def report(self, keys: list[Any], first: bool = False) -> tuple[Any, ...]:
        self.number += 1
        self.doubted |= dict.fromkeys((key for key in keys if key in self.doubted), self.number)
        return "report", self.box, self.id, self.number, keys, first

    def cut(self) -> None:
        self.cut_off, self.mail = True, []
        self.world.boxes[self.box].drop(self.id)
        if self.world.locks[self.box] is self:
            self.world.locks[self.box] = None

    def control(self, leader: Any, number: int, closed: list[Any]) -> None:
        if closed == ["refused"]:
            if leader == self.id and self.alive:
                self.cut()
        elif self.alive and not self.cut_off:
            self.mail.append((leader, number, closed))

    def read_mail(self) -> None:
        for leader, number, closed in self.mail:
            for key in closed:
                self.tracker.pop(key, None)
                self.doubted.pop(key, None)
            if leader == self.id:
                self.end_doubt(number)
        self.mail = []

    def end_doubt(self, number: int) -> None:
        self.doubted = {key: named for key, named in self.doubted.items() if named != number}

    def look_at_the_clock(self) -> None:
        """What it stored before it stood still, and what came meanwhile, may be given up."""
        world = self.world
        if world.now - self.stepped >= 2 * EPOCH and "stood still" not in world.off:
            stored = [key for key, entry in self.tracker.items() if entry[0] == "stored"]
            self.doubted |= dict.fromkeys(stored, 0)
            self.unsure_until, self.next_report = world.now + EPOCH, world.now
        self.stepped = world.now

    def step(self) -> None:
        world = self.world
        if self.cut_off and world.random.random() < 0.7:  # until it notices, it acts
            if world.up:
                self.born()
            return
        if self.phase == "standby":
            # Not over connections that are cut: it would begin anew and wait for its own lock.
            if world.up and not self.cut_off and world.locks[self.box] is None:
                world.locks[self.box] = self
                self.phase, self.until = "calling", world.now + 6
                self.words = [self.report([])]
            return
        self.look_at_the_clock()
        self.read_mail()
        self.read_tracks()
        if self.words and world.publish(world.inbox, self.words[0]):
            self.confirmed(self.words.pop(0))
        if self.phase == "calling":
            if world.now >= self.until and not self.words:
                self.phase = "leading"
                if "first" not in world.off:
                    self.words = [self.report(list(self.tracker), True)]
            return
        if world.now >= self.next_report:
            self.next_report = world.now + EPOCH // 3
            self.words.append(self.report(list(self.tracker)))
            for agent in world.agents:  # a word to each, so that a lost hand-out shows
                if agent.box == self.box and agent.connected:
                    agent.number += 1
                    agent.queue.append((self.id, None, agent.number))
        self.take_in()
        self.hand_out()

    def confirmed(self, word: tuple[Any, ...]) -> None:
        if word[0] == "report" and "hasty" in self.world.off:  # takes the broker's word for it
            self.end_doubt(word[3])

    def take_in(self) -> None:
        world, box = self.world, self.world.boxes[self.box]
        if self.letter is None and not self.cut_off and world.up:
            self.letter = box.get(self.id)
        if self.letter is None:
            return
        (leader, keys), redelivered = self.letter
        strange = [key for key in keys if key not in self.tracker]
        if redelivered and "redelivered" not in world.off:
            self.words += [("returned", key) for key in strange]
            box.ack(self.id, self.letter)
            self.letter = None
            return
        if self.queued() + len(strange) > BOUND and "cap" not in world.off:
            return
        for_another = leader != self.id and "for another" not in world.off
        meanwhile = world.now < self.unsure_until and "meanwhile" not in world.off
        if for_another or meanwhile:
            self.doubted |= dict.fromkeys(strange, 0)
        report = self.report(keys)
        if not world.publish(world.inbox, report):
            return
        self.confirmed(report)
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
            if entry[0] != "stored" or key in self.doubted:
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

    def busy(self) -> int:
        """Slots that are taken: what ended takes none, up to as many as there are slots."""
        running = sum(entry[0] > 0 for entry in self.holding.values())
        return max(running, len(self.holding) - SLOTS)

    def known_by(self, leader: Leader) -> bool:
        return self.alive and self.load < SLOTS

    def cut(self) -> None:
        self.connected, self.queue = False, []

    def die(self, away: int) -> None:
        super().die(away)
        self.holding = {}

    def control(self, leader: Any, number: int, closed: list[Any]) -> None:
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
            if leader != self.leader or self.busy() >= SLOTS:
                self.words.append(("returned", key))
            elif key not in self.holding:
                long = 200 if world.kinds == "leaders" else 60
                self.holding[key] = [world.random.randrange(3, long), None]
                world.for_nothing += world.rows[key[0]].active != key[1]
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
        self.load = self.busy() + len(self.queue)
        if self.connected and world.now - self.said_at >= 4:
            self.said_at = world.now
            if not world.chance(0.05):
                state = (self.id, self.session, self.heard, list(self.holding), world.now)
                world.tracks[self.box].append(state)
            if world.now - self.leader_at > EPOCH // 2 and "selfvouch" not in world.off:
                world.publish(world.inbox, ("holding", list(self.holding)))
