"""What every test may use: the reactor, private servers, and a watch on logged failures."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import hypothesis
import psycopg2
import pytest
from pytest_twisted import blockon
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from rtb.roles.clock import use_monotonic_clock
from rtb.sandbox import Sandbox
from rtb.sandbox.management import Management
from rtb.sandbox.rabbit import is_installed
from rtb.settings import Broker, Database, Settings

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile(
    "rtb", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("rtb")
_NUMBERS = itertools.count(1)
_BROKER = ("RTB_BROKER_HOST", "RTB_AMQP_URL")


def _given(*names: str) -> bool:
    return any(os.environ.get(name) or os.environ.get(f"{name}_FILE") for name in names)


def pytest_collection_finish() -> None:
    """Let the collection after each test look only at what the tests made: it costs 0.1 s else."""
    gc.freeze()


class LoggedFailures:
    """Each Failure that was logged during a test and not consumed by it."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self._failures.append(failure)

    def consume(self, *kinds: type[BaseException]) -> list[Failure]:
        """Return those of *kinds* (all when none is given); the test expected them."""
        # A Deferred logs its unhandled failure only when it is collected.
        gc.collect()
        chosen = [f for f in self._failures if not kinds or f.check(*kinds)]
        self._failures = [f for f in self._failures if f not in chosen]
        return chosen


@pytest.fixture(scope="session")
def reactor(twisted_greenlet: Any) -> Any:
    """The one reactor, which counts time as the roles' does."""
    from twisted.internet import reactor

    use_monotonic_clock(reactor)
    return reactor


@pytest.fixture(autouse=True)
def errors_fail() -> Iterator[LoggedFailures]:
    """Fail a test that logged a Failure; one that expects some calls ``errors_fail.consume()``."""
    failures = LoggedFailures()
    globalLogPublisher.addObserver(failures)
    try:
        yield failures
        left = failures.consume()
    finally:
        globalLogPublisher.removeObserver(failures)
    if left:
        pytest.fail("logged during the test:\n" + "\n".join(f.getTraceback() for f in left))


@pytest.fixture(scope="session")
def public_directory() -> Iterator[Path]:
    """A directory that private servers can enter, too; pytest's own are closed to other users."""
    path = Path(tempfile.mkdtemp(prefix="rtb-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def sandbox(reactor: Any, public_directory: Path) -> Iterator[Sandbox]:
    """One private PostgreSQL and RabbitMQ for the whole run."""
    if _given(*_BROKER) and not is_installed():
        pytest.skip("kills servers, so it needs private ones: install rabbitmq-server")
    sandbox = Sandbox(reactor, public_directory / "servers", durable=False, management=True)
    blockon(sandbox.start())
    yield sandbox
    blockon(sandbox.stop())


@pytest.fixture(scope="session")
def ledger_server(request: pytest.FixtureRequest) -> Database:
    """The server that ``RTB_DB_HOST`` or ``RTB_DATABASE_URL`` names; else the private one."""
    if not _given("RTB_DB_HOST", "RTB_DATABASE_URL"):
        return Settings.load({}, request.getfixturevalue("sandbox").environment()).db
    return Settings.load({}, os.environ, role="api").db


@pytest.fixture
def database(ledger_server: Database) -> Iterator[Database]:
    """A fresh, empty database."""
    name = f"rtb_test_{os.getpid()}_{next(_NUMBERS)}"
    _sql(ledger_server, f'CREATE DATABASE "{name}"')
    yield attrs.evolve(ledger_server, name=name)
    _sql(ledger_server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _sql(server: Database, statement: str) -> None:
    connection = psycopg2.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password,
        dbname=server.name,
        sslmode=server.sslmode,
    )
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@attrs.frozen
class _BrokerServer:
    broker: Broker
    management: Management


@pytest.fixture(scope="session")
def broker_server(request: pytest.FixtureRequest, reactor: Any) -> _BrokerServer:
    """The server that ``RTB_BROKER_HOST`` or ``RTB_AMQP_URL`` names; else the private one.

    One that is named must offer its management API at port 15672, to make virtual hosts.
    """
    if _given(*_BROKER):
        broker = Settings.load({}, os.environ, role="agent").amqp
        management = Management(reactor, 15672, broker.user, broker.password, host=broker.host)
        return _BrokerServer(broker, management)
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    broker = Settings.load({}, sandbox.environment(), role="agent").amqp
    return _BrokerServer(broker, sandbox.rabbit.management)


@pytest.fixture
def vhost(broker_server: _BrokerServer) -> Iterator[Broker]:
    """A fresh virtual host."""
    name = f"test-{os.getpid()}-{next(_NUMBERS)}"
    blockon(Deferred.fromCoroutine(broker_server.management.add_vhost(name)))
    yield attrs.evolve(broker_server.broker, vhost=name)
    blockon(Deferred.fromCoroutine(broker_server.management.remove_vhost(name)))
