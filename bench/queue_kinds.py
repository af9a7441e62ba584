"""Measures classic and quorum queues with rtb's own client and messages, on a private RabbitMQ.

Each kind has a box and an inbox of its own, bound as rtb's are. Messages travel as in rtb: units in
pieces of 50 to the box, events in batches of 20 to the inbox, persistent, mandatory and confirmed,
read with rtb's prefetch and acked by the batch.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet import defer, task
from twisted.internet.defer import Deferred, gatherResults

from rtb.broker import BrokerClient, BrokerError, Outgoing, Session
from rtb.broker.topology import Binding, Exchange, Queue, Topology
from rtb.model.wire import Ended, Out, Status, StatusKind, Unit, encode
from rtb.roles.clock import use_monotonic_clock
from rtb.sandbox import Sandbox
from rtb.settings import Settings

KINDS = ("classic", "quorum")
_EXCHANGE = "bench"
_TICK = os.sysconf("SC_CLK_TCK")
_PREFETCH = 400
_BATCH = 50
#: Seconds after which a queue that does not answer counts as lost.
_PATIENCE = 25.0


def topology(kind: str) -> Topology:
    """Return a box and an inbox of *kind*."""
    arguments = {"x-queue-type": kind}
    inbox = {**arguments, "x-single-active-consumer": True}
    return (
        Exchange(_EXCHANGE),
        Queue(f"box-{kind}", arguments=arguments),
        Binding(f"box-{kind}", f"out.{kind}", _EXCHANGE),
        Queue(f"inbox-{kind}", arguments=inbox),
        Binding(f"inbox-{kind}", f"status.{kind}", _EXCHANGE),
    )


def box_message(number: int) -> bytes:
    """Return a piece of a claim: 50 units."""
    payload = msgspec.Raw(b'{"tile":"32UQD","bands":[2,3,4]}')
    units = [
        Unit(number * 50 + i, 1, "ann", 1.0, 0, "scene", 600.0, 7, f"scene-{i}", payload, 0)
        for i in range(50)
    ]
    return encode(Out(ledger="5d5c5b5a", box="outbox", units=units))


def inbox_message(number: int) -> bytes:
    """Return a batch of results: 20 units."""
    news = [
        Ended(number * 20 + i, 1, ran=1.5, result=msgspec.Raw(b'{"cloud":0.2}')) for i in range(20)
    ]
    return encode(
        Status(ledger="5d5c5b5a", box="outbox", source="a1", kind=StatusKind.SUCCESS, units=news)
    )


MESSAGES = {"box": ("out", box_message), "inbox": ("status", inbox_message)}


class Bench:
    """The private broker, and a client for each measurement."""

    def __init__(self, reactor: Any, sandbox: Sandbox) -> None:
        self._reactor = reactor
        self._sandbox = sandbox
        self._broker = Settings.load({}, sandbox.environment()).amqp

    async def client(self, kind: str) -> tuple[BrokerClient, Session]:
        """Return a connected client with the queues of *kind*."""
        client = BrokerClient(
            self._reactor, self._broker, name="bench", random=lambda: 0.5, topology=topology(kind)
        )
        client.startService()
        await client.when_ready()
        assert client.session is not None
        return client, client.session

    async def flow(self, kind: str, what: str, count: int) -> tuple[float, float]:
        """Publish and read *count* messages at once; return those per second, and CPU ms each."""
        client, session = await self.client(kind)
        messages = _messages(kind, what, range(count))
        came: Deferred[None] = Deferred()
        seen = 0

        def received(delivery: Any) -> None:
            nonlocal seen
            seen += 1
            if seen % _BATCH == 0 or seen == count:
                delivery.ack(multiple=True)
            if seen == count:
                came.callback(None)

        await session.consume(f"{what}-{kind}", received, prefetch=_PREFETCH)
        began, busy = self._reactor.seconds(), self._cpu()
        await gatherResults([client.publish(message) for message in messages])
        await came
        took, used = self._reactor.seconds() - began, self._cpu() - busy
        await client.stopService()
        return count / took, used / count * 1000

    async def latency(self, kind: str, what: str, count: int) -> list[float]:
        """Publish one after the other; return the milliseconds to each confirm, in order."""
        client, session = await self.client(kind)
        await session.consume(f"{what}-{kind}", lambda it: it.ack(), prefetch=_PREFETCH)
        found = []
        for message in _messages(kind, what, range(count)):
            began = self._reactor.seconds()
            await client.publish(message)
            found.append((self._reactor.seconds() - began) * 1000)
        await client.stopService()
        return sorted(found)

    async def restart(self, kind: str, waiting: int) -> float:
        """Kill the broker while messages wait; return the seconds until one can be read."""
        client, _ = await self.client(kind)
        await gatherResults([client.publish(it) for it in _messages(kind, "box", range(waiting))])
        await client.stopService()
        await self._sandbox.rabbit.kill()
        began = self._reactor.seconds()
        await self._sandbox.rabbit.start_again()
        await self._read(kind, waiting)
        took: float = self._reactor.seconds() - began
        return took

    async def loses_its_leader(self, kind: str) -> bool:
        """T7: kill the broker right after fresh queues confirmed; are they of use afterwards?"""
        client, session = await self.client(kind)
        for what in MESSAGES:
            await session.delete(f"{what}-{kind}")
        await client.stopService()
        client, _ = await self.client(kind)
        await gatherResults([client.publish(it) for it in _messages(kind, "box", range(40))])
        await self._sandbox.rabbit.kill()
        await client.stopService()
        await self._sandbox.rabbit.start_again()
        try:
            await Deferred.fromCoroutine(self._read(kind, 40)).addTimeout(_PATIENCE, self._reactor)
        except (defer.TimeoutError, defer.CancelledError, BrokerError):
            return True
        return False

    async def clean(self) -> None:
        """Begin with an empty broker: a lost queue would hold up every later client."""
        await self._sandbox.rabbit.kill()
        self._sandbox.rabbit.wipe()
        await self._sandbox.rabbit.start_again()

    async def _read(self, kind: str, count: int) -> None:
        client, session = await self.client(kind)
        came: Deferred[None] = Deferred()
        seen = 0

        def received(delivery: Any) -> None:
            nonlocal seen
            seen += 1
            delivery.ack()
            if seen == count:
                came.callback(None)

        try:
            await session.consume(f"box-{kind}", received, prefetch=_PREFETCH)
            await came
        finally:
            await client.stopService()

    def _cpu(self) -> float:
        """Return the CPU seconds of the broker so far."""
        pid = self._sandbox.rabbit.process.pid
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK


def _messages(kind: str, what: str, numbers: Sequence[int]) -> list[Outgoing]:
    key, make = MESSAGES[what]
    return [
        Outgoing(
            f"{key}.{kind}", make(number), message_id=f"{kind}:{what}:{number}",
            persistent=True, mandatory=True, exchange=_EXCHANGE,
        )
        for number in numbers
    ]  # fmt: skip


async def measure(bench: Bench, options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the rows of the table: a name, and what each kind has to show."""
    rows: dict[str, list[str]] = {}

    def note(name: str, value: str) -> None:
        rows.setdefault(name, []).append(value)
        print(f"# {name}: {value}", flush=True)

    for kind in KINDS:
        print(f"# {kind}", flush=True)
        for what in MESSAGES:
            rate, cpu = await bench.flow(kind, what, options.messages)
            note(f"{what}: messages/s, published and read", f"{rate:.0f}")
            note(f"{what}: CPU of the broker per message", f"{cpu:.2f} ms")
            times = await bench.latency(kind, what, options.singles)
            p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
            note(f"{what}: confirm of a single one, p50 / p99", f"{p50:.1f} / {p99:.1f} ms")
        took = [await bench.restart(kind, 200) for _ in range(options.restarts)]
        note("kill to the last of 200 waiting messages", f"{sorted(took)[len(took) // 2]:.1f} s")
        lost = 0
        for _ in range(options.restarts):
            lost += await bench.loses_its_leader(kind)
            await bench.clean()
        note("of no use after a kill while fresh", f"{lost} of {options.restarts}")
    return rows


async def main(reactor: Any, options: argparse.Namespace) -> None:
    """Measure, and print the table."""
    use_monotonic_clock(reactor)
    directory = Path(tempfile.mkdtemp(prefix="rtb-bench-"))
    directory.chmod(0o711)
    sandbox = Sandbox(reactor, directory, with_postgres=False)
    await sandbox.start()
    try:
        rows = await measure(Bench(reactor, sandbox), options)
    finally:
        await sandbox.stop()
        shutil.rmtree(directory)
    print(f"| | {' | '.join(KINDS)} |\n|---|---|---|")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(values)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench/queues", description=__doc__)
    parser.add_argument("--messages", type=int, default=5000, help="of each flow (5000)")
    parser.add_argument("--singles", type=int, default=500, help="confirms one by one (500)")
    parser.add_argument("--restarts", type=int, default=3, help="kills of each sort (3)")
    chosen = parser.parse_args()
    task.react(lambda reactor: Deferred.fromCoroutine(main(reactor, chosen)))
