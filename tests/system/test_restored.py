"""PostgreSQL restored to an earlier state in the middle of running work."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from line_support import Line, order
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool

from rtb.chaos import errand
from rtb.chaos.evidence import read_executions
from rtb.settings import Database

_RTB = [sys.executable, "-c", "from rtb.cli import main; main()"]


def _run(argv: list[str], **environment: str) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class _Backup:
    """``pg_dump`` now and ``pg_restore`` later, beside the database and then in its place."""

    def __init__(self, line: Line, sandbox: Any, database: Database, file: Path) -> None:
        self._line = line
        self._binaries = Path(sandbox.postgres._binaries)
        self._database = database
        self._file = file
        self._server = attrs.evolve(database, name="postgres")

    def _tool(self, name: str, *words: str) -> None:
        database = self._database
        _run(
            [str(self._binaries / name), "-h", database.host, "-p", str(database.port),
             "-U", database.user, *words],
            PGPASSWORD=database.password,
        )  # fmt: skip

    def take(self) -> None:
        self._tool("pg_dump", "-Fc", "-f", str(self._file), self._database.name)

    def restore(self) -> None:
        beside = f"{self._database.name}_restored"
        self._tool("createdb", beside)
        self._tool("pg_restore", "-d", beside, str(self._file))
        self._tool("dropdb", "--force", self._database.name)
        sql = f'ALTER DATABASE "{beside}" RENAME TO "{self._database.name}"'
        self._tool("psql", "-d", "postgres", "-c", sql)


@pytest.mark.parametrize("restarts", [False, True], ids=["api goes on", "api restarts"])
@pytest_twisted.ensureDeferred
async def test_it_is_noticed_and_renewed(
    line: Line, sandbox: Any, database: Database, tmp_path: Path, restarts: bool
) -> None:
    if database.port != sandbox.postgres.port:
        pytest.skip("takes a backup of the server, so it needs a private one")
    reactor = line.reactor

    def in_thread(work: Any) -> Any:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    executions = tmp_path / "executions"
    executions.touch()
    words = [sys.executable, "-I", "-S", errand.__file__, str(executions)]
    line.environment["RTB_WORKLOADS"] = f"default=command:{shlex.join(words)}"
    backup = _Backup(line, sandbox, database, tmp_path / "backup")
    api = line.start("rtb-api")
    line.start("rtb-leader", BROADCAST_MAX_QUEUE="10")
    line.start("rtb-agent", AGENT_SLOTS="4")
    await line.until_led()
    units = [{"payload": {"seconds": 0.3, "end": "success"}} for _ in range(60)]
    await line.client.place({"units": units})
    await line.client.go()
    await line.until(lambda summary: summary.units.settled >= 8)
    await in_thread(backup.take)
    await line.until(lambda summary: summary.units.settled >= 30)
    await line.client.place(order(5, name="lost with the future"))
    if restarts:
        await api.end()
    await in_thread(backup.restore)
    if restarts:
        api = line.start("rtb-api")
    await _until_not_ready(line)
    before = line.sql("SELECT count(*), max(id) FROM units")
    assert before[0][0] == 60
    said = await in_thread(
        lambda: _run(
            [*_RTB, "ledger", "renew", "--yes"],
            RTB_DATABASE_URL=line.environment["RTB_DATABASE_URL"],
        )
    )
    assert "will wait again" in said
    assert "no API has noticed" not in said
    placed = await line.client.place({"units": units[:5]})
    assert placed["id"] > 1_000_000
    await line.until_settled(65)
    await line.end()
    line.check()
    outcomes = """SELECT unit_id FROM events WHERE kind IN ('success', 'error', 'cancelled')
                   GROUP BY unit_id HAVING count(*) = 1"""
    assert len(line.sql(outcomes)) == 65
    lines = read_executions(executions.read_text().splitlines())
    starts = [(entry.unit, entry.attempt) for entry in lines if entry.word == "start"]
    assert len(set(starts)) == len(starts), "an attempt has the number of one of the lost future"
    assert line.sql("SELECT count(*) FROM units WHERE attempt > 1000")[0][0] >= 5


async def _until_not_ready(line: Line) -> None:
    for _ in range(600):
        code, _, body = await line.fetch("GET", "/readyz")
        if code == 503 and "rtb ledger renew" in body:
            return
        await deferLater(line.reactor, 0.1, lambda: None)
    raise AssertionError(line.logs())
