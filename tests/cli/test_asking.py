"""What a person asks of a running system through the command line."""

from __future__ import annotations

import csv
import io
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from rtb.settings import Broker, Database
from tests.system.line_support import Line

RTB = Path(sys.executable).with_name("rtb")
Done = subprocess.CompletedProcess[str]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Person:
    """Somebody at a terminal, in the environment of *line*."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def rtb(self, *arguments: str, **more: str) -> Done:
        done: Done = await deferToThread(
            subprocess.run,
            [str(RTB), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            env={**self._line.environment, **more},
        )
        return done

    async def each(self, *commands: str) -> list[Done]:
        """Return what came of *commands*, given at once."""
        asked = [Deferred.fromCoroutine(self.rtb(*command.split())) for command in commands]
        done: list[Done] = await gatherResults(asked)
        return done


@pytest_twisted.ensureDeferred
async def test_a_day_at_the_terminal(
    reactor: Any, database: Database, vhost: Broker, tmp_path: Path
) -> None:
    line = Line(reactor, database, vhost, tmp_path)
    person = Person(line)
    admin = free_port()
    try:
        away, health, before, sql = await person.each(
            "status", "healthcheck", "migrate --status", "migrate --sql"
        )
        assert (away.returncode, away.stdout) == (69, "")
        assert "no answer from" in away.stderr
        assert health.returncode == 1
        assert before.returncode == 1
        assert before.stdout.startswith("to apply: 0001_books.sql\n")
        assert "CREATE TABLE units" in sql.stdout
        line.start("rtb-api")
        line.start("rtb-leader")
        line.start("rtb-agent", ADMIN_LISTEN=f"tcp:{admin}:interface=127.0.0.1")
        await line.until_led()
        order = (await line.client.place({"name": "april", "units": [f"u{n}" for n in range(60)]}))[
            "id"
        ]
        waiting, early = await person.each(
            f"watch {order} --timeout 1.5", f"watch {order} --exit all,waiting,9"
        )
        assert waiting.returncode == 5
        assert "april" in waiting.stdout
        assert "not so within" in waiting.stderr
        assert early.returncode == 9
        await line.client.go()
        watched = await person.rtb(
            "watch", str(order), "--exit", "all,success,0", "--exit", "all,done,3"
        )
        assert watched.returncode in (0, 3)
        assert "TOTAL" in watched.stdout
        status, as_json, listed, shown, missing = await person.each(
            "status", "status -o json", "orders list -o jsonl", f"orders show {order} --wait 5",
            "orders show 999",
        )  # fmt: skip
        assert status.returncode == 0
        assert "going, 100 % done" in status.stdout
        assert json.loads(as_json.stdout)["going"] is True
        (row,) = [json.loads(text) for text in listed.stdout.splitlines()]
        assert row["name"] == "april"
        assert "april" in shown.stdout
        assert (missing.returncode, missing.stdout) == (4, "")

        scenes = tmp_path / "scenes.csv"
        scenes.write_text("name,path\na,/p\nb,/p\na,/p\n")
        refused = await person.rtb("orders", "create", "may", "--units", str(scenes))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "line 4: line 2 has the same name" in refused.stderr
        partly = await person.rtb(
            "orders", "create", "may", "--units", str(scenes), "--partial", "--label", "a:b"
        )
        assert "2 units\n1 lines refused:\n  line 4: " in partly.stdout
        assert (
            await person.rtb("orders", "hold", str(order), "--yes", "--why", "clouds")
        ).returncode == 0
        assert (await person.rtb("orders", "priority", str(order), "4")).returncode == 0
        shown, expected, exported, as_table, missing = await person.each(
            f"orders show {order}", f"orders forecast {order}", f"orders export {order}",
            f"orders export {order} --csv", "orders export 999",
        )  # fmt: skip
        assert "hold of 0 units: clouds" in shown.stdout
        assert "priority of 0 units" in shown.stdout
        assert expected.stdout.startswith("code     DONE: ")
        units = [json.loads(text) for text in exported.stdout.splitlines()]
        assert len(units) == 60
        assert exported.stderr == "60 units\n"
        rows = list(csv.DictReader(io.StringIO(as_table.stdout)))
        assert [int(row["id"]) for row in rows] == [unit["id"] for unit in units]
        assert missing.returncode == 4

        shown, some, tracker, listed = await person.each(
            f"units show {units[0]['id']}", f"units list {order} --limit 3 -o jsonl", "tracker",
            "agents list -o json",
        )  # fmt: skip
        assert "processing" in shown.stdout
        assert "u0" in shown.stdout
        assert len(some.stdout.splitlines()) == 3
        assert "outbox" in tracker.stdout
        assert [agent["presence"] for agent in json.loads(listed.stdout)] == ["ready"]

        await changes(person, tmp_path)

        after, checked, ready = await person.each(
            "migrate --status", "check", "healthcheck --ready"
        )
        assert (after.returncode, after.stdout) == (0, "nothing to apply\n")
        assert ready.returncode == 0
        assert checked.returncode == 0, checked.stdout
        assert [text.split()[:2] for text in checked.stdout.splitlines()] == [
            ["PostgreSQL", "ok"], ["RabbitMQ", "ok"], ["API", "ok"],
        ]  # fmt: skip
        broken = await person.rtb("check", RTB_AMQP_URL=f"amqp://x:y@127.0.0.1:{free_port()}/")
        assert broken.returncode == 69
        assert "RabbitMQ    away" in broken.stdout
        listens = {"RTB_ADMIN_LISTEN": f"tcp:{admin}:interface=127.0.0.1"}
        assert (await person.rtb("healthcheck", **listens)).stdout == '{"alive":true}\n'
    finally:
        await line.end()


async def changes(person: Person, directory: Path) -> None:
    """Place an order from a file, and change it and its units; each asks unless told not to."""
    assert (await person.rtb("stop")).stdout == "stopped\n"
    scenes = directory / "scenes.csv"
    scenes.write_text("name\n" + "".join(f"scene-{n}\n" for n in range(30)))
    create = ("orders", "create", "june", "--units", str(scenes), "--label", "year:1987")
    placed = json.loads((await person.rtb(*create, "-o", "json", "--idempotency-key", "k")).stdout)
    assert placed["units"] == 30
    again = await person.rtb(*create, "-o", "json", "--idempotency-key", "k")
    assert json.loads(again.stdout) == placed
    order = str(placed["id"])
    shown = json.loads((await person.rtb("orders", "show", order, "-o", "json")).stdout)
    assert shown["labels"] == {"year": "1987"}
    bad = await person.rtb("orders", "create", "bad", "--units", str(RTB.with_name("no-such")))
    assert bad.returncode == 2

    asked = await person.rtb("orders", "hold", order)
    assert asked.returncode == 1, "nobody said yes"
    assert "Keep back order" in asked.stderr
    assert "30 units" in asked.stderr
    held = await person.rtb("orders", "hold", order, "--yes", "--why", "clouds")
    assert held.stdout == f"order {order}: hold, 30 units\n"
    assert (await person.rtb("orders", "release", order, "--yes")).returncode == 0
    rows = (await person.rtb("units", "list", order, "-o", "jsonl")).stdout.splitlines()
    unit = str(json.loads(rows[3])["id"])
    assert (await person.rtb("units", "cancel", unit, "--yes")).stdout == f"unit {unit}: cancel\n"
    twice = await person.rtb("units", "cancel", unit, "--yes")
    assert (twice.returncode, twice.stderr) == (1, f"rtb: unit {unit} is cancelled: no cancel\n")
    assert (await person.rtb("units", "retry", unit, "--yes")).returncode == 0
    some = await person.rtb("orders", "cancel", order, "--prefix", "scene-2", "--yes")
    assert some.stdout == f"order {order}: cancel, 11 units\n"
    assert (await person.rtb("go")).stdout == "going\n"
    rest = await person.rtb("watch", order, "--timeout", "60")
    assert rest.returncode == 3, "some were cancelled"
    waited = await person.rtb(
        "orders", "create", "july", "--units", str(scenes), "--workload", "default", "--wait"
    )
    assert waited.returncode in (0, 3)
    assert waited.stdout.endswith(": 30 units\n")


@pytest_twisted.ensureDeferred
async def test_what_needs_no_api(
    reactor: Any, database: Database, vhost: Broker, tmp_path: Path
) -> None:
    person = Person(Line(reactor, database, vhost, tmp_path))
    *completions, described, wrong = await person.each(
        "completion bash", "completion zsh", "completion fish", "openapi",
        "watch --exit some,error",
    )  # fmt: skip
    assert all("_RTB_COMPLETE" in completion.stdout for completion in completions)
    assert json.loads(described.stdout)["openapi"] == "3.1.0"
    assert wrong.returncode == 2
    assert "all,success,0" in wrong.stderr
