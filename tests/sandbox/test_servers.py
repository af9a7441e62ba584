"""The private servers themselves: start, work, stop, kill, freeze, and start again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from rtb.sandbox import DirectoryInUseError, Sandbox, SandboxError, ServerFailedError
from rtb.sandbox.accounts import Account
from rtb.sandbox.directory import DataDirectory
from rtb.sandbox.postgres import Postgres, reachable_binaries
from rtb.sandbox.proc import descendants, identity
from rtb.sandbox.readiness import amqp_answers, postgres_answers
from rtb.settings import Broker, Database


@pytest.fixture
def data(public_directory: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    path = public_directory / f"with space {request.node.name}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def postgres(reactor: Any, data: Path) -> Iterator[Postgres]:
    directory = DataDirectory(data)
    directory.open()
    server = Postgres(reactor, directory, durable=False)
    yield server
    blockon(Deferred.fromCoroutine(server.stop()))
    directory.close()


@pytest_twisted.ensureDeferred
async def test_each_test_has_an_empty_database(sandbox: Sandbox, database: Database) -> None:
    tables = await sandbox.postgres.sql(
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'",
        database.name,
    )
    assert tables == "0"


@pytest_twisted.ensureDeferred
async def test_each_test_has_an_empty_vhost(sandbox: Sandbox, vhost: Broker) -> None:
    assert await sandbox.rabbit.management.ask("GET", f"/queues/{vhost.vhost}") == []


@pytest_twisted.ensureDeferred
async def test_nothing_but_the_loopback_is_listened_on(sandbox: Sandbox) -> None:
    for child in (sandbox.postgres.process, sandbox.rabbit.process):
        assert child.pid is not None
        addresses = listening(child.pid)
        assert addresses
        assert addresses <= {"0100007F"}


def listening(pid: int) -> set[str]:
    """Return the IPv4 addresses (as the kernel prints them) that *pid* listens on."""
    sockets = {
        link.removeprefix("socket:[").rstrip("]")
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
        if (link := os.readlink(descriptor)).startswith("socket:")
    }
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


@pytest_twisted.ensureDeferred
async def test_guest_is_nobody(sandbox: Sandbox) -> None:
    users = await sandbox.rabbit.management.ask("GET", "/users")
    assert [user["name"] for user in users] == ["rtb"]


@pytest_twisted.ensureDeferred
async def test_nobody_gets_in_without_the_password(sandbox: Sandbox) -> None:
    where = sandbox.postgres
    with pytest.raises(psycopg2.OperationalError, match="password"):
        await deferToThread(
            psycopg2.connect,
            host=where.host,
            port=where.port,
            user=where.user,
            password="wrong",
            dbname=where.name,
        )


@pytest_twisted.ensureDeferred
async def test_no_server_runs_as_root(sandbox: Sandbox) -> None:
    for child in (sandbox.postgres.process, sandbox.rabbit.process):
        assert child.pid is not None
        assert Path(f"/proc/{child.pid}").stat().st_uid == child.account.uid != 0


@pytest_twisted.ensureDeferred
async def test_a_second_sandbox_on_the_same_directory_is_refused(
    reactor: Any, sandbox: Sandbox
) -> None:
    second = Sandbox(reactor, sandbox.directory.path)
    with pytest.raises(DirectoryInUseError):
        await second.start()
    assert await postgres_answers(reactor, sandbox.postgres.port)


@pytest_twisted.ensureDeferred
async def test_data_is_there_at_the_next_start(reactor: Any, postgres: Postgres) -> None:
    await postgres.start()
    await postgres.sql("CREATE TABLE notes AS SELECT 'kept' AS note")
    port = postgres.port
    await postgres.stop()
    assert not await postgres_answers(reactor, port)

    await postgres.start()

    assert await postgres.sql("SELECT note FROM notes") == "kept"
    assert postgres.port == port


@pytest_twisted.ensureDeferred
async def test_stopping_waits_for_no_forgotten_connection(reactor: Any, postgres: Postgres) -> None:
    await postgres.start()
    forgotten = await deferToThread(psycopg2.connect, postgres.url)
    began = reactor.seconds()
    await postgres.stop()
    assert reactor.seconds() - began < 5
    forgotten.close()


@pytest_twisted.ensureDeferred
async def test_postgres_comes_back_after_a_kill(postgres: Postgres) -> None:
    await postgres.start()
    await postgres.sql("CREATE TABLE notes AS SELECT 'kept' AS note")
    for _ in range(3):
        ended = postgres.process.when_ended()
        postgres.process.signal(signal.SIGKILL)
        await ended
        await postgres.start_again()
    assert await postgres.sql("SELECT note FROM notes") == "kept"


@pytest_twisted.ensureDeferred
async def test_a_frozen_postgres_answers_after_it_thaws(reactor: Any, postgres: Postgres) -> None:
    await postgres.start()
    assert postgres.process.pid is not None
    everyone = descendants(postgres.process.pid)
    assert len(everyone) > 1
    postgres.process.pause()
    while states(everyone) != {"T"}:
        await deferLater(reactor, 0.02)
    postgres.process.resume()
    assert await postgres.sql("SELECT 1") == "1"


def states(pids: list[int]) -> set[str]:
    """Return the kernel's letters for what *pids* are doing."""
    return {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] for pid in pids}


@pytest_twisted.ensureDeferred
async def test_a_frozen_postgres_is_ended_too(postgres: Postgres) -> None:
    await postgres.start()
    pid = postgres.process.pid
    assert pid is not None
    postgres.process.pause()
    await postgres.stop()
    assert identity(pid) is None


@pytest_twisted.ensureDeferred
async def test_data_that_does_not_start_is_told_with_the_log(
    postgres: Postgres, data: Path
) -> None:
    await postgres.start()
    await postgres.stop()
    (data / "postgres" / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(ServerFailedError, match=r"(?s)postgres: did not start.*incompatible"):
        await postgres.start()


@pytest_twisted.ensureDeferred
async def test_a_half_made_cluster_is_made_anew(postgres: Postgres, data: Path) -> None:
    (data / "postgres.new").mkdir()
    (data / "postgres.new" / "PG_VERSION").write_text("half")
    await postgres.start()
    assert await postgres.sql("SELECT 1") == "1"


@pytest_twisted.ensureDeferred
async def test_databases_come_and_go(postgres: Postgres) -> None:
    await postgres.start()
    await postgres.create_database("one")
    with pytest.raises(SandboxError, match="already exists"):
        await postgres.create_database("one")
    await postgres.drop_database("one")
    await postgres.drop_database("one")
    with pytest.raises(SandboxError, match="no name for a database"):
        await postgres.create_database('one"; DROP DATABASE postgres; --')


@pytest_twisted.ensureDeferred
async def test_both_come_back_after_their_keeper_was_killed(reactor: Any, data: Path) -> None:
    sandbox = Sandbox(reactor, data, durable=True)
    await sandbox.start()
    await sandbox.postgres.sql("CREATE TABLE notes AS SELECT 'kept' AS note")
    environment = sandbox.environment()
    processes = (sandbox.postgres.process, sandbox.rabbit.process)
    ends = [process.when_ended() for process in processes]
    for process in processes:
        process.signal_all(signal.SIGKILL)
    for end in ends:
        await end
    await sandbox.stop()

    again = Sandbox(reactor, data, durable=True)
    await again.start()
    assert again.environment() == environment
    assert await amqp_answers(reactor, again.rabbit.port)
    assert await again.postgres.sql("SELECT note FROM notes") == "kept"
    await again.stop()

    await again.start(reset=True)
    assert await again.postgres.sql("SELECT to_regclass('notes')") == ""
    assert again.environment() != environment
    pids = [process.pid for process in (*processes, again.postgres.process, again.rabbit.process)]
    await again.stop()
    assert [pid for pid in pids if pid is not None and identity(pid)] == []


def test_binaries_out_of_reach_are_copied(public_directory: Path) -> None:
    stranger = Account("stranger", 54321, 54321, foreign=True)
    there = reachable_binaries(stranger, public_directory, lambda account, path: False)

    assert there.is_relative_to(public_directory)
    assert (there / "postgres").stat().st_mode & 0o005 == 0o005
    assert there == reachable_binaries(stranger, public_directory, lambda account, path: False)
    assert shutil.which("postgres", path=there)
