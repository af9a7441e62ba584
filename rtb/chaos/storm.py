"""Faults: which there are, and when they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from rtb.chaos.evidence import Away, Evidence
from rtb.chaos.outsider import Outsider
from rtb.chaos.rubbish import forged, rubbish
from rtb.chaos.slot import Slot, clocks_can_step
from rtb.chaos.system import System
from rtb.sandbox import Sandbox
from rtb.sandbox.postgres import Postgres
from rtb.sandbox.rabbit import Rabbit

__all__ = ["Storm"]

#: By name; a slot's name is its agent's.
_BUSY = "SELECT name FROM agents WHERE busy > 0"
_Work = Coroutine[Deferred[Any], Any, None]
#: Seconds by which a wall clock is set, forth or back.
_STEPS = (5, 60, 3600, 86400, 10**7)


class Storm:
    """Lets faults come over *system*: as many of each as *plan* says, in a random order.

    :param sandbox: the private servers; without, nothing is done to servers
    :param most: seconds that a pause or a broken link may last
    """

    def __init__(
        self,
        reactor: Any,
        system: System,
        sandbox: Sandbox | None,
        outsider: Outsider,
        random: Random,
        evidence: Evidence,
        *,
        most: float,
        say: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._system = system
        self._sandbox = sandbox
        self._outsider = outsider
        self._random = random
        self._evidence = evidence
        self._most = most
        self._say = say
        self._broker_lock = DeferredLock()
        self._ledger_lock = DeferredLock()
        self.counts: Counter[str] = Counter()
        #: When servers were killed, by server.
        self.server_kills: list[tuple[float, str]] = []
        #: What was done, and when.
        self.notes: list[tuple[float, str]] = []
        #: Bad messages that were sent meanwhile; a wiped broker may have lost them.
        self.injected: set[tuple[str, bytes]] = set()
        self._faults: dict[str, Callable[[], _Work]] = {
            "kill api": lambda: self._kill("api"),
            "kill leader": lambda: self._kill("leader"),
            "kill agent": lambda: self._kill("agent"),
            "kill two roles": self._kill_two,
            "end a role": self._terminate,
            "freeze api": lambda: self._freeze("api"),
            "freeze leader": lambda: self._freeze("leader"),
            "freeze agent": lambda: self._freeze("agent"),
            "silent link": self._silence,
            "slow link": self._slow,
            "cut link": self._cut,
            "half-closed link": self._half_close,
            "step a clock": self._step_clock,
            "bad messages": self._rubbish,
            "forged words": self._forge,
            "kill postgres": self._kill_postgres,
            "freeze postgres": self._freeze_postgres,
            "kill rabbit": self._kill_rabbit,
            "freeze rabbit": self._freeze_rabbit,
            "wipe rabbit": self._wipe_rabbit,
            "memory alarm": self._alarm,
            "kill both servers": self._kill_both,
        }

    async def blow(self, plan: Mapping[str, int], gap: float) -> None:
        """Do what *plan* says, with gaps of *gap* seconds in the mean; return when it is over."""
        faults = [name for name, count in plan.items() for _ in range(count)]
        self._random.shuffle(faults)
        under_way = []
        for name in faults:
            await self._pause(min(self._random.expovariate(1 / gap), 4 * gap))
            # Without a broker nothing moves, and few faults do harm: most wait until it is back.
            while self._broker_lock.locked and self._random.random() < 0.9:
                await self._pause(1.0)
            if self._sandbox is None and name.split()[-1] in ("postgres", "rabbit", "alarm"):
                continue
            if name == "step a clock" and not clocks_can_step():
                continue
            self.counts[name] += 1
            self._note(name)
            under_way.append(Deferred.fromCoroutine(self._faults[name]()))
        await gatherResults(under_way, consumeErrors=True)

    def settle(self) -> None:
        """Mend all that is broken and not ended."""
        for slot in self._system.slots:
            slot.thaw()
        for proxies in self._system.proxies.values():
            for proxy in proxies.values():
                proxy.mend()

    def _note(self, what: str) -> None:
        self.notes.append((self._reactor.seconds(), what))

    def _pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds, lambda: None)

    def _length(self) -> float:
        return self._random.uniform(0.15, 1.0) * self._most

    # ---- roles

    async def _kill(self, kind: str) -> None:
        slot = self._random.choice(self._system.of_kind(kind))
        slot.thaw()
        self._note(f"  kill {slot.name}")
        slot.kill()

    async def _kill_two(self) -> None:
        for slot in self._random.sample(self._system.slots, 2):
            self._note(f"  kill {slot.name}")
            slot.kill()

    async def _terminate(self) -> None:
        slots = [slot for slot in self._system.slots if not slot.ending and not slot.frozen]
        if slots:
            slot = self._random.choice(slots)
            self._note(f"  SIGTERM to {slot.name}")
            slot.terminate()

    async def _freeze(self, kind: str) -> None:
        slot = self._random.choice(self._system.of_kind(kind))
        if kind == "agent":
            slot = await self._busy_agent() or slot
        self._note(f"  freeze {slot.name}")
        since = self._reactor.seconds()
        slot.freeze()
        if kind == "agent":
            # Longer than its units live on when nobody vouches for them.
            await self._pause(self._system.shape.epoch * 6 + self._length())
        else:
            await self._pause(self._length())
        self._note(f"  thaw {slot.name}")
        slot.thaw()
        self._evidence.frozen.append(Away(slot.name, since, self._reactor.seconds()))

    async def _busy_agent(self) -> Slot | None:
        """Return an agent that runs something, if there is one soon: its words will be late."""
        for _ in range(20):
            rows = await self._in_thread(self._outsider.sql, _BUSY)
            names = {name for (name,) in rows}
            busy = [slot for slot in self._system.of_kind("agent") if slot.name in names]
            awake = [slot for slot in busy if slot.pid is not None and not slot.frozen]
            if awake:
                return self._random.choice(awake)
            await self._pause(0.5)
        return None

    async def _step_clock(self) -> None:
        slot = self._random.choice(self._system.slots)
        seconds = self._random.choice(_STEPS) * self._random.choice((1, -1))
        self._note(f"  the clock of {slot.name}: {seconds:+d} s")
        slot.step_clock(seconds)

    # ---- links

    def _link(self) -> Any:
        name, proxies = self._random.choice(list(self._system.proxies.items()))
        server, proxy = self._random.choice(list(proxies.items()))
        self._note(f"  {name} to {server}")
        return proxy

    async def _silence(self) -> None:
        link = self._link()
        link.silence()
        await self._pause(self._length())
        link.mend()

    async def _slow(self) -> None:
        link = self._link()
        link.slow(1024)
        await self._pause(self._length())
        link.mend()

    async def _cut(self) -> None:
        self._link().drop()

    async def _half_close(self) -> None:
        self._link().half_close()

    async def _rubbish(self) -> None:
        ledger = await self._in_thread(self._outsider.ledger_id)
        messages = [
            bad
            for bad in rubbish(self._random, ledger, "outbox", 10)
            if not bad.kind.startswith("event ")
        ]
        self.injected.update((bad.key, bad.body) for bad in messages)
        await self._in_thread(self._outsider.publish, messages)

    async def _forge(self) -> None:
        ledger = await self._in_thread(self._outsider.ledger_id)
        if ledger:
            messages = forged(self._random, ledger, "outbox", self._system.shape.bound)
            await self._in_thread(self._outsider.publish, messages)

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        pool = self._reactor.getThreadPool()
        try:
            return await deferToThreadPool(self._reactor, pool, work, *arguments)
        except Exception as problem:  # the servers are under attack, and so is whoever uses them
            self._say(f"an outsider was not served: {type(problem).__name__}")
            return ""

    # ---- servers

    @contextmanager
    def _without(self, server: str) -> Iterator[None]:
        since = self._reactor.seconds()
        self.server_kills.append((since, server))
        yield
        self._evidence.away.append(Away(server, since, self._reactor.seconds()))

    def _servers(self) -> Sandbox:
        assert self._sandbox is not None
        return self._sandbox

    async def _kill_postgres(self) -> None:
        postgres = self._servers().postgres
        async with self._ledger_lock:
            await postgres.kill()
            with self._without("postgres"):
                await self._pause(self._random.choice((0.0, 0.0, 3.5)))
            await postgres.start_again()

    async def _kill_rabbit(self) -> None:
        await self._restart_rabbit(wipe=False)

    async def _wipe_rabbit(self) -> None:
        await self._restart_rabbit(wipe=True)

    async def _restart_rabbit(self, *, wipe: bool) -> None:
        rabbit = self._servers().rabbit
        async with self._broker_lock:
            await rabbit.kill()
            with self._without("rabbit"):
                if wipe:
                    rabbit.wipe()
                await self._pause(2.5)
            await rabbit.start_again()

    async def _freeze_postgres(self) -> None:
        await self._freeze_server(self._ledger_lock, self._servers().postgres)

    async def _freeze_rabbit(self) -> None:
        await self._freeze_server(self._broker_lock, self._servers().rabbit)

    async def _freeze_server(self, lock: DeferredLock, server: Postgres | Rabbit) -> None:
        async with lock:
            server.process.pause()
            await self._pause(self._length())
            server.process.resume()

    async def _alarm(self) -> None:
        rabbit = self._servers().rabbit
        async with self._broker_lock:
            await rabbit.control("set_vm_memory_high_watermark", "0.00001")
            await self._pause(self._length())
            await rabbit.control("set_vm_memory_high_watermark", "0.4")

    async def _kill_both(self) -> None:
        await gatherResults(
            [
                Deferred.fromCoroutine(self._kill_postgres()),
                Deferred.fromCoroutine(self._kill_rabbit()),
            ]
        )
