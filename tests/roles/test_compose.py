"""docker-compose.yml, without Docker: its shape, and its commands in its own environment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_twisted
import treq
from ruamel.yaml import YAML
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.web.client import ResponseNeverReceived

from rtb.ops import probe
from rtb.settings import Broker, Database, Settings, require_private_listening, unknown

ROOT = Path(__file__).parents[2]
SECRETS = ROOT / "deploy" / "compose" / "secrets.yml"
ROLES = ("rtb-boa", "leader", "agent")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file, with variables as they are where none is set."""
    text = (ROOT / "docker-compose.yml").read_text()
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    assert "$" not in text
    loaded: dict[str, Any] = YAML(typ="safe").load(text)
    return loaded


def environment(compose: dict[str, Any], service: str) -> dict[str, str]:
    # An empty value is an unset one, for rtb as well.
    return {
        name: str(value or "")
        for name, value in compose["services"][service]["environment"].items()
    }


def test_the_files_are_what_compose_takes() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
         str(ROOT / "docker-compose.yml"), str(SECRETS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_only_the_api_is_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"postgres", "rabbit", "migrate", *ROLES}
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"rtb-boa": ["127.0.0.1:8080:8080"]}
    assert compose["networks"]["inside"] == {"internal": True}
    for name, service in services.items():
        assert service["networks"] == (["inside", "outside"] if name == "rtb-boa" else ["inside"])
        assert "container_name" not in service, "an agent could not be scaled"
        if name != "migrate":
            assert service["healthcheck"]["test"][0] == "CMD"


def test_data_stays_and_the_broker_keeps_its_name(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["rabbit"]["hostname"] == "rabbit"
    kept = [
        volume.split(":")[0]
        for name in ("postgres", "rabbit")
        for volume in services[name]["volumes"]
    ]
    assert set(kept) == set(compose["volumes"])


def test_the_schema_is_made_once_and_before_what_needs_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    migrate = services["migrate"]
    assert migrate["restart"] == "no", "it ends, and that is its success"
    assert (migrate["entrypoint"], migrate["command"]) == (["rtb"], ["migrate"])
    assert migrate["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["rtb-boa"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "postgres": {"condition": "service_healthy"},
        "rabbit": {"condition": "service_healthy"},
    }
    for name in ("leader", "agent"):
        assert services[name]["depends_on"] == {"rabbit": {"condition": "service_healthy"}}


@pytest.mark.parametrize("service", ["migrate", *ROLES])
def test_with_passwords_each_role_has_the_secrets_that_it_uses(
    compose: dict[str, Any], service: str, tmp_path: Path
) -> None:
    added = YAML(typ="safe").load(SECRETS.read_text())
    made = _secrets_of_the_docs(tmp_path)
    assert {secret["file"] for secret in added["secrets"].values()} == {
        f"secrets/{name}" for name in made
    }
    environ = environment(compose, service)
    for name, path in added["services"][service]["environment"].items():
        secret = path.removeprefix("/run/secrets/")
        assert secret in added["services"][service]["secrets"]
        environ[name] = str(tmp_path / added["secrets"][secret]["file"])
    role = {"rtb-boa": "api", "migrate": "api"}.get(service, service)
    settings = Settings.load({}, environ, role=role)
    if role == "api":
        assert settings.db.where == "postgres:5432"
        assert settings.db.password == made["postgres-password"]
    else:
        assert "database-url" not in added["services"][service]["secrets"]
    if service != "migrate":
        assert settings.amqp.where == "rabbit:5672"
        written = f"default_user = {settings.amqp.user}\ndefault_pass = {settings.amqp.password}\n"
        assert made["rabbit.conf"] == written


def _secrets_of_the_docs(directory: Path) -> dict[str, str]:
    """Make them as docs/how-to/compose.md does, but for the last line, which needs Docker."""
    page = (ROOT / "docs" / "how-to" / "compose.md").read_text()
    (block,) = re.findall(r"```sh\n(umask .*?)docker compose[^\n]*\n```", page, re.DOTALL)
    subprocess.run(["/bin/bash", "-euc", block], cwd=directory, check=True)
    return {file.name: file.read_text() for file in (directory / "secrets").iterdir()}


@pytest.mark.parametrize("service", ROLES)
def test_the_environment_of_a_role(compose: dict[str, Any], service: str) -> None:
    environ = environment(compose, service)
    assert unknown(environ) == []
    settings = Settings.load({}, environ)
    require_private_listening(settings)
    defaults = Settings.load({}, {})
    assert (settings.db, settings.amqp, settings.api_host) == (
        defaults.db,
        defaults.amqp,
        defaults.api_host,
    )
    assert (settings.max_queue, settings.box, settings.seed_count) == (50, "outbox", 100)
    assert settings.workloads == defaults.workloads
    grace = int(compose["services"][service]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.drain_timeout + 2


def test_roles_run_without_privileges(compose: dict[str, Any]) -> None:
    for name in ROLES:
        service = compose["services"][name]
        assert service["user"] == "10001:10001"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "\nUSER 10001:10001\n" in dockerfile


class Role:
    """A service of the file as a process: its command in its environment, names mapped."""

    def __init__(self, name: str, command: list[str], environ: dict[str, str], log: Path) -> None:
        entrypoint = re.search(r"^ENTRYPOINT \[(.*)\]$", (ROOT / "Dockerfile").read_text(), re.M)
        assert entrypoint is not None
        twistd, *options = re.findall(r'"([^"]*)"', entrypoint[1])
        assert twistd == "twistd"
        run = "from twisted.scripts.twistd import run; run()"
        self.name = name
        self.log = log / f"{name}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", run, *options, *command],
                env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **environ},
                cwd=log,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


@pytest.fixture
def roles(
    compose: dict[str, Any], database: Database, vhost: Broker, unused_port: int, tmp_path: Path
) -> Iterator[list[Role]]:
    broker = (
        f"{vhost.user}:{quote(vhost.password, safe='')}@{vhost.where}/{quote(vhost.vhost, safe='')}"
    )
    ledger = f"{database.user}:{quote(database.password, safe='')}@{database.where}/{database.name}"
    mapped = {
        "RTB_DB_HOST": {"RTB_DATABASE_URL": f"postgresql://{ledger}?sslmode={database.sslmode}"},
        "RTB_BROKER_HOST": {"RTB_AMQP_URL": f"amqp://{broker}"},
        "RTB_API_HOST": {"RTB_API_HOST": f"127.0.0.1:{unused_port}"},
        "RTB_API_LISTEN": {"RTB_API_LISTEN": f"tcp:{unused_port}:interface=127.0.0.1"},
    }
    started: list[Role] = []
    for name in ROLES:
        environ: dict[str, str] = {}
        for variable, value in environment(compose, name).items():
            environ |= mapped.get(variable, {variable: value})
        started.append(Role(name, compose["services"][name]["command"], environ, tmp_path))
    yield started
    for role in started:
        role.process.kill()
        role.process.wait()


@pytest.fixture
def unused_port(reactor: Any) -> int:
    factory = Factory()
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    number: int = port.getHost().port
    pytest_twisted.blockon(port.stopListening())
    return number


async def ask(reactor: Any, port: int, path: str) -> tuple[int, Any]:
    try:
        response = await treq.get(
            f"http://127.0.0.1:{port}{path}", persistent=False, reactor=reactor
        )
        return response.code, await response.json()
    except (ConnectError, ResponseNeverReceived):
        return 0, None


async def until(reactor: Any, seconds: float, check: Any) -> Any:
    limit = time.monotonic() + seconds
    while True:
        found = await check()
        if found:
            return found
        assert time.monotonic() < limit, "not in time"
        await deferLater(reactor, 0.1)


@pytest_twisted.ensureDeferred
async def test_its_commands_bring_the_seed_to_its_end(
    roles: list[Role], unused_port: int, reactor: Any
) -> None:
    try:
        await follow(reactor, unused_port)
    finally:
        ended = {role.name: role.end() for role in reversed(roles)}
        logs = "\n".join(f"== {role.name}\n{role.log.read_text()}" for role in roles)
    assert set(ended.values()) == {0}, f"{ended}\n{logs}"
    assert "Traceback" not in logs, logs


async def follow(reactor: Any, port: int) -> None:
    async def ready() -> bool:
        return (await ask(reactor, port, "/readyz"))[0] == 200

    async def led() -> bool:
        _, summary = await ask(reactor, port, "/")
        return bool(summary["leaders"]) and summary["leaders"][0]["agents"] == 1

    async def settled() -> bool:
        _, summary = await ask(reactor, port, "/")
        units = summary["units"]
        assert sum(units[status] for status in units if status != "total") == 100
        return units["success"] + units["error"] == 100

    await until(reactor, 120, ready)
    await until(reactor, 120, led)
    # Across a thread: it blocks, as befits a program of its own.
    pool = reactor.getThreadPool()
    environ = {"RTB_API_HOST": f"boa:{port}"}
    assert await deferToThreadPool(reactor, pool, probe.main, "api", environ) == ""
    assert (await ask(reactor, port, "/go/"))[0] == 200
    await until(reactor, 180, settled)
