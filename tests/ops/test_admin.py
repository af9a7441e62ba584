"""What a role shows to whoever watches over it, as a separate process on real servers."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest_twisted
import treq
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater

from rtb.settings import Broker, Database
from tests.system.line_support import Line

METRICS = Path(__file__).parents[2] / "docs" / "metrics.md"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def ask(reactor: Any, port: int, path: str, status: int = 200) -> bytes:
    for _ in range(600):
        try:
            response = await treq.get(f"http://127.0.0.1:{port}{path}", persistent=False)
        except ConnectError:
            pass
        else:
            body: bytes = await response.content()
            if response.code == status:
                return body
        await deferLater(reactor, 0.1, lambda: None)
    raise AssertionError(f"{path} does not answer with {status}")


def names(text: bytes) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def families(text: bytes) -> set[str]:
    every = {family.name for family in text_string_to_metric_families(text.decode())}
    usual = ("process_", "python_gc_", "python_twisted_reactor_tick_time_created")
    return {name for name in every if not name.startswith(usual) and not name.endswith("_created")}


@pytest_twisted.ensureDeferred
async def test_every_role_tells_how_it_is(
    reactor: Any, database: Database, vhost: Broker, tmp_path: Any, promtool: Any
) -> None:
    line = Line(reactor, database, vhost, tmp_path)
    ports = {role: free_port() for role in ("rtb-api", "rtb-leader", "rtb-agent")}
    try:
        for role, port in ports.items():
            line.start(role, ADMIN_LISTEN=f"tcp:{port}:interface=127.0.0.1", LOG_FORMAT="json")
        await line.until_led()
        for port in ports.values():
            assert await ask(reactor, port, "/livez") == b'{"alive":true}\n'
            ready = json.loads(await ask(reactor, port, "/readyz?verbose"))
            assert ready["ready"] is True
            assert ready["parts"]["broker"] == "ready"
            seen = names(await ask(reactor, port, "/metrics"))
            assert seen["rtb_broker_up"] == 1
            assert seen["python_twisted_reactor_last_seen"] > 1e9
            assert seen["python_twisted_reactor_tick_time_count"] > 0
            assert seen["process_resident_memory_bytes"] > 0
            assert "rtb_build_info" in seen
        assert names(await ask(reactor, ports["rtb-leader"], "/metrics"))["rtb_leader_agents"] == 1
        assert (
            names(await ask(reactor, ports["rtb-agent"], "/metrics"))["rtb_agent_slot_limit"] == 8
        )
        there: set[str] = set()
        for port in (*ports.values(), line.port):
            text = await ask(reactor, port, "/metrics")
            there |= families(text)
            promtool("check", "metrics", text=text)
        said = set(re.findall(r"^\| `(\w+)`", METRICS.read_text(), re.MULTILINE))
        assert said == there, "each is in the docs, and each that is in the docs is there"
    finally:
        await line.end()
    for role in line.roles:
        lines = [json.loads(text) for text in role.log.read_text().splitlines()]
        assert all(line["ts"].endswith("Z") and line["level"] and line["msg"] for line in lines)
        assert {line["role"] for line in lines} <= set(ports)
        assert all(line["instance"] and isinstance(line["event"], str) for line in lines)


#: Keeps a core busy for a while, as a unit of work may.
SPIN = """
import time

def spin(payload):
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        pass
"""


@pytest_twisted.ensureDeferred
async def test_a_busy_agent_answers_at_once(
    reactor: Any, database: Database, vhost: Broker, tmp_path: Any
) -> None:
    """Its answer takes less than 50 ms; that Python starts first is not the agent's doing."""
    line = Line(reactor, database, vhost, tmp_path)
    port = free_port()
    (tmp_path / "spinning.py").write_text(SPIN)
    path = os.environ.get("PYTHONPATH", "")
    line.environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{path}"
    try:
        line.start("rtb-api")
        line.start("rtb-leader")
        line.start(
            "rtb-agent",
            ADMIN_LISTEN=f"tcp:{port}:interface=127.0.0.1",
            AGENT_SLOTS="2",
            WORKLOADS="default=python:spinning:spin",
        )
        await line.until_led()
        await line.client.place({"units": [f"u{n}" for n in range(40)]})
        await line.client.go()
        await line.until(lambda summary: summary.units.processing == 2)
        took = []
        for _ in range(20):
            began = time.monotonic()
            await ask(reactor, port, "/livez")
            took.append(time.monotonic() - began)
        assert (await line.client.status()).units.processing > 0
        assert min(took) < 0.05, took
        print(f"a busy agent answered in {1000 * min(took):.1f} to {1000 * max(took):.1f} ms")
    finally:
        await line.end()


@pytest_twisted.ensureDeferred
async def test_a_broker_that_is_away_is_said_and_no_number_is_missing(
    reactor: Any, database: Database, vhost: Broker, tmp_path: Any
) -> None:
    line = Line(reactor, database, vhost, tmp_path)
    port = free_port()
    nowhere = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    try:
        line.start("rtb-leader", ADMIN_LISTEN=f"tcp:{port}:interface=127.0.0.1", AMQP_URL=nowhere)
        assert await ask(reactor, port, "/livez") == b'{"alive":true}\n'
        said = json.loads(await ask(reactor, port, "/readyz", status=503))
        assert said["parts"]["broker"] != "ready"
        seen = names(await ask(reactor, port, "/metrics"))
        assert seen["rtb_broker_up"] == 0
        assert seen["rtb_leader_leads"] == 0
    finally:
        await line.end()
