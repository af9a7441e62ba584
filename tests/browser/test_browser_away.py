"""The page while RabbitMQ, and then PostgreSQL, is stopped under a running API."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from browser_support import Browser
from playwright.sync_api import Page, expect
from pytest_twisted import blockon

from rtb.sandbox import Sandbox
from rtb.settings import Settings
from tests.system.line_support import Line

#: Seconds that the page may take to say it; looked at closely, so that the limit means something.
WITHIN = 3.0
expect.set_options(timeout=40_000)


@pytest.fixture
def own_servers(reactor: Any, public_directory: Path) -> Iterator[Sandbox]:
    """Servers that this test may stop."""
    sandbox = Sandbox(reactor, public_directory / "away", durable=False)
    blockon(sandbox.start())
    yield sandbox
    blockon(sandbox.stop())


def says(page: Page, part: str, state: str) -> float:
    """Return when the header says that *part* is in *state*."""
    page.wait_for_function(
        """([part, state]) => [...document.querySelectorAll("#parts li")].some(
            (item) => item.textContent.includes(part) && item.dataset.state === state)""",
        arg=[part, state],
        polling=50,
        timeout=30_000,
    )
    return time.monotonic()


async def kill(process: Any) -> float:
    ended = process.when_ended()
    process.signal_all(signal.SIGKILL)
    killed = time.monotonic()
    await ended
    return killed


@pytest_twisted.ensureDeferred
async def test_the_header_says_in_3_seconds_what_is_away(
    reactor: Any, own_servers: Sandbox, browser: Browser, tmp_path: Path
) -> None:
    settings = Settings.load({}, own_servers.environment())
    line = Line(reactor, settings.db, settings.amqp, tmp_path)
    try:
        line.start("rtb-api")
        await line.until(lambda summary: summary.units.total == 0)
        await line.client.place({"units": ["a", "b"]})

        def open_it(page: Page) -> None:
            page.goto(f"http://127.0.0.1:{line.port}/")
            says(page, "RabbitMQ", "ok")
            says(page, "PostgreSQL", "ok")
            expect(page.locator("#total")).to_have_text("2")

        await browser.do(open_it)
        killed = await kill(own_servers.rabbit.process)
        seen = await browser.do(lambda page: says(page, "RabbitMQ", "bad"))
        broker = seen - killed
        ready = await line.client._exchange("GET", "/readyz", {}, None)
        assert ready[0] == 503
        assert b"waiting for broker" in ready[1]
        assert (await line.client._exchange("GET", "/livez", {}, None))[0] == 200
        metrics = (await line.client._exchange("GET", "/metrics", {}, None))[1]
        assert b"\nrtb_broker_up 0.0\n" in metrics

        killed = await kill(own_servers.postgres.process)
        seen = await browser.do(lambda page: says(page, "PostgreSQL", "bad"))
        ledger = seen - killed

        def look(page: Page) -> None:
            expect(page.locator("#live-text")).to_have_text(
                re.compile(r"as of \d\d:\d\d:\d\d: PostgreSQL is away")
            )
            expect(page.locator("#total")).to_have_text("2")
            expect(page.locator("#attention")).to_contain_text("PostgreSQL")

        await browser.do(look)
        print(f"red after {broker:.1f} s without RabbitMQ, {ledger:.1f} s without PostgreSQL")
        assert broker < WITHIN
        assert ledger < WITHIN
    finally:
        await line.end()
