"""A real browser, driven from a thread of its own beside the reactor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Page, sync_playwright
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = Path(__file__).with_name("axe") / "axe.min.js"
_T = TypeVar("_T")


class Browser:
    """One browser with one page; Playwright's objects live in the thread that made them."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(1, 1, "browser")
        self._pool.start()
        self._playwright: Any = None
        self._browser: Any = None
        self.page: Any = None
        #: What went wrong in the page, and what it asked for.
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def do(self, what: Callable[[Page], _T]) -> _T:
        """Return what *what* does with the page, in its thread."""
        done: _T = await deferToThreadPool(self._reactor, self._pool, lambda: what(self.page))
        return done

    async def start(self) -> None:
        await deferToThreadPool(self._reactor, self._pool, self._start)

    async def stop(self) -> None:
        await deferToThreadPool(self._reactor, self._pool, self._stop)
        self._pool.stop()

    def _start(self) -> None:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=ARGUMENTS
        )
        context = self._browser.new_context(
            viewport={"width": 1280, "height": 1010}, timezone_id="UTC", color_scheme="light"
        )
        self.page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _stop(self) -> None:
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} {message.location}")


def numbers(page: Page) -> dict[str, int]:
    """Return what the tiles say."""
    tiles = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("[data-count]")]
            .map((tile) => [tile.dataset.count, tile.textContent]))"""
    )
    tiles["total"] = page.text_content("#total")
    return {name: int("".join(filter(str.isdigit, text))) for name, text in tiles.items()}


def serious(page: Page) -> list[str]:
    """Return what axe finds, as far as it matters."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
