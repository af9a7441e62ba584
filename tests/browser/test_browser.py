"""The page in a real browser, on a whole line: busy, idle, failing, disconnected."""

from __future__ import annotations

import hashlib
import re
import time
from signal import SIGKILL
from typing import Any

import pytest_twisted
from browser_support import AXE, Browser, numbers, serious
from playwright.sync_api import Page, expect
from twisted.internet.task import deferLater

from tests.system.line_support import Line

expect.set_options(timeout=40_000)
ensure = pytest_twisted.ensureDeferred
EVIL = "<img src=x onerror=alert(1)>"
#: What is said of the API while it is away is the browser's own.
EXPECTED = re.compile(r"ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|net::ERR_")


def order(account: str, name: str, count: int, **more: str) -> dict[str, Any]:
    units = [f"{name}-{number:03}" for number in range(count - len(more))] + list(more.values())
    return {"account": account, "name": name, "units": units}


def state(page: Page, text: str) -> None:
    expect(page.locator("#live-text")).to_have_text(re.compile(text))


def in_ledger(line: Line) -> dict[str, int]:
    ((waiting, queued, processing, success, error, total),) = line.sql(
        """SELECT count(*) FILTER (WHERE status = 'waiting'),
                  count(*) FILTER (WHERE status IN ('sent', 'queued')),
                  count(*) FILTER (WHERE status = 'processing'),
                  count(*) FILTER (WHERE status = 'success'),
                  count(*) FILTER (WHERE status = 'error'), count(*) FROM units"""
    )
    return {
        "waiting": waiting, "queued": queued, "processing": processing, "success": success,
        "error": error, "total": total,
    }  # fmt: skip


def press(page: Page, button: str, says: str) -> None:
    page.click(button)
    expect(page.locator("#ask-text")).to_contain_text(says)
    page.click("#ask-yes")


@ensure
async def test_the_life_of_a_page(line: Line, browser: Browser, picture: Any) -> None:
    url = f"http://127.0.0.1:{line.port}/"
    good, bad = "default=coinflip:error=0,seconds=0.6", "default=coinflip:error=0.35,seconds=0.6"
    api = line.start("rtb-api")
    line.start("rtb-leader")
    agents = [
        line.start("rtb-agent", AGENT_NAME=f"agent-{n}", AGENT_SLOTS="4", WORKLOADS=good)
        for n in (1, 2, 3)
    ]
    await line.until_led(agents=3)

    # ---- empty
    def look_at_nothing(page: Page) -> None:
        page.goto(url)
        state(page, r"^live \d")
        expect(page.locator("#sentence")).to_contain_text("no units yet")
        assert numbers(page)["total"] == 0
        assert serious(page) == []

    await browser.do(look_at_nothing)

    # ---- busy: go is pressed in the page, behind a question that says how much it concerns
    await line.client.place(order("jane@example.org", "landsat-0101", 100, evil=EVIL))
    await line.client.place(order("jim@example.org", "sentinel-april", 180))
    await line.client.place(order("ada@example.org", "modis-tiles", 60))

    def go(page: Page) -> None:
        expect(page.locator("#attention")).to_contain_text("340 units wait")
        press(page, "#wheels", "340 units wait")
        expect(page.locator("#wheels")).to_have_text("Stop")
        expect(page.locator("#limit")).to_contain_text("limited by agents")

    await browser.do(go)
    await line.until(lambda summary: summary.units.success > 150)

    def look_at_work(page: Page) -> None:
        state(page, r"^live \d")
        seen = numbers(page)
        assert sum(count for name, count in seen.items() if name != "total") == seen["total"] == 340
        assert seen["processing"] > 0
        assert page.locator(".cell.o").count() > 10
        assert page.locator(".stage[data-limit] .stage-name").text_content() == "3 agents"
        picture(page, "busy")
        assert serious(page) == []
        page.emulate_media(color_scheme="dark")
        assert serious(page) == []
        picture(page, "busy-dark")
        page.set_viewport_size({"width": 360, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert serious(page) == []
        picture(page, "narrow")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 1010})

    await browser.do(look_at_work)

    # ---- idle
    await line.until_settled(340)

    def look_at_rest(page: Page) -> None:
        expect(page.locator("#eta")).to_have_text("all done")
        expect(page.locator("#attention")).to_contain_text("Nothing needs you")
        expect(page.locator("#agents")).to_contain_text("idle")
        state(page, r"^live \d")
        assert numbers(page) == in_ledger(line)
        picture(page, "idle")

    await browser.do(look_at_rest)
    await browser.do(use_the_keyboard)
    await browser.do(look_at_something_evil)

    # ---- failing: agents that break things, and one that dies
    for agent in agents[1:]:
        await agent.end()
    agents[1:] = [
        line.start("rtb-agent", AGENT_NAME=f"agent-{n}", AGENT_SLOTS="4", WORKLOADS=bad)
        for n in (4, 5)
    ]
    await line.until_led(agents=3)
    await line.client.place(order("kim@example.org", "retro-1987", 160))
    await line.until(lambda summary: summary.units.error > 12)
    await agents[0].end(SIGKILL)

    def look_at_trouble(page: Page) -> None:
        expect(page.locator(".item[data-kind=lost]")).to_contain_text("agent-1", timeout=60_000)
        expect(page.locator(".item[data-kind=error]")).to_contain_text(
            "the coin landed on its edge"
        )
        expect(page.locator("#orders tr").first).to_contain_text("retro-1987")
        page.click(".item[data-kind=error] >> text=order")
        expect(page.locator("#units-of")).to_contain_text("retro-1987")
        expect(page.locator(".cell.e").first).to_be_visible()
        state(page, r"^live \d")
        picture(page, "failing")
        assert serious(page) == []
        page.locator(".cell.e").first.click()
        expect(page.locator("#drawer-body")).to_contain_text("the coin landed on its edge")
        expect(page.locator(".time")).to_contain_text("run by agent-")
        picture(page, "unit")
        assert serious(page) == []
        page.keyboard.press("Escape")
        expect(page.locator("#drawer")).to_be_hidden()

    await browser.do(look_at_trouble)
    quick, seen = await browser.do(measure(line)), list(browser.complaints)
    assert seen == []
    assert min(quick) < 300

    # ---- disconnected: what is shown is said to be old, and comes back as it is in the ledger
    await api.end(SIGKILL)

    def look_at_the_past(page: Page) -> None:
        state(page, r"^stale since \d\d:\d\d:\d\d$")
        expect(page.locator("body")).to_have_attribute("data-stale", "")
        assert "stale" in page.title()
        assert numbers(page)["total"] == 500
        picture(page, "disconnected")

    await browser.do(look_at_the_past)
    line.start("rtb-api")
    await line.until_settled(500)

    def look_again(page: Page) -> None:
        state(page, r"^live \d")
        expect(page.locator("#eta")).to_have_text("all done")
        assert numbers(page) == in_ledger(line)
        page.reload()
        state(page, r"^live \d")
        assert numbers(page) == in_ledger(line)

    await browser.do(look_again)
    await change_orders(line, browser)
    took = []
    for n in range(3):
        began = time.monotonic()
        await line.client.place(order("kim@example.org", f"late-{n}", 1))
        shown = re.compile(f"^{508 + n}$")
        await browser.do(
            lambda page, shown=shown: expect(page.locator("#total")).to_have_text(shown)
        )
        took.append(time.monotonic() - began)
    assert min(took) < 1.0
    print(f"first paint {quick} ms, on screen after {[round(one, 2) for one in took]} s")
    strange = [said for said in browser.complaints if not EXPECTED.search(said)]
    assert strange == []
    assert [place for place in browser.requests if not place.startswith((url, "data:"))] == []
    await line.end()


async def in_time(line: Line, count: str, expected: int) -> None:
    """Return when the ledger counts what is *expected*: units follow what was asked."""
    for _ in range(300):
        if line.sql(count) == [(expected,)]:
            return
        await deferLater(line.reactor, 0.1, lambda: None)
    raise AssertionError((count, line.sql(count), expected))


async def change_orders(line: Line, browser: Browser) -> None:
    """Retry, hold, release and cancel, each behind a question that says how much it concerns."""
    ((failed, name),) = line.sql(
        """SELECT c.error, o.name FROM counters c JOIN orders o ON o.id = c.id
            WHERE c.kind = 'order' AND o.name = 'retro-1987'"""
    )
    again = "SELECT count(*) FROM events WHERE kind = 'retried'"

    def retry_the_order(page: Page) -> None:
        page.click(f"#orders >> text={name}")
        press(page, "#order-acts >> text=retry", f"{failed} unit")
        expect(page.locator("#toast")).to_contain_text(f"retry, {failed} unit")

    await browser.do(retry_the_order)
    await in_time(line, again, failed)
    await line.until_settled(500)

    def retry_a_unit(page: Page) -> None:
        page.locator(".cell.o").first.click()
        press(page, "#drawer-body >> text=retry", "1 unit begins")
        expect(page.locator(".time")).to_contain_text("another round")
        page.keyboard.press("Escape")

    await browser.do(retry_a_unit)
    await in_time(line, again, failed + 1)
    await line.until_settled(500)

    await line.client.stop()
    late = await line.client.place(order("kim@example.org", "on-hold", 7))

    def hold_and_cancel(page: Page) -> None:
        page.click("#orders >> text=on-hold")
        press(page, "#order-acts >> text=hold", "7 units are kept back")
        expect(page.locator("#orders tr").filter(has_text="on-hold")).to_contain_text("held")
        page.locator(".cell.w").first.click()
        press(page, "#drawer-body >> text=cancel", "1 unit is cancelled")
        expect(page.locator("#drawer-title")).to_contain_text("⊘")
        page.keyboard.press("Escape")
        row = page.locator("#orders tr").filter(has_text="on-hold")
        expect(row.locator("td.c-waiting")).to_have_text("6")
        press(page, "#order-acts >> text=release", "6 units may be")
        expect(page.locator("#order-acts")).to_contain_text("hold")
        # Who leaves it changes nothing.
        page.click("#order-acts >> text=cancel")
        expect(page.locator("#ask-text")).to_contain_text("6 units are cancelled")
        page.keyboard.press("Escape")
        expect(page.locator("#ask")).to_be_hidden()
        press(page, "#order-acts >> text=cancel", "6 units are cancelled")
        expect(page.locator("#order-acts button")).to_have_count(0)

    await browser.do(hold_and_cancel)
    await in_time(line, "SELECT count(*) FROM units WHERE status = 'cancelled'", 7)
    assert (await line.client.order(late["id"]))["units"]["cancelled"] == 7
    await line.client.go()


def use_the_keyboard(page: Page) -> None:
    page.keyboard.press("5")
    expect(page.locator("[data-status=error]")).to_have_attribute("aria-pressed", "true")
    assert "status=error" in page.url
    page.keyboard.press("5")
    page.keyboard.press("/")
    page.keyboard.type("sentinel")
    expect(page.locator("#orders tr")).to_have_count(1)
    page.locator("#search").fill("")
    page.locator("#search").blur()
    page.keyboard.press("p")
    state(page, r"^held at ")
    page.keyboard.press("p")
    state(page, r"^live ")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.keyboard.press("t")
    page.locator(".cell").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#drawer-title")).to_contain_text("✓")
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    # Who does not confirm changes nothing.
    page.click("#wheels")
    page.keyboard.press("Escape")
    expect(page.locator("#wheels")).to_have_text("Stop")


def look_at_something_evil(page: Page) -> None:
    dialogs: list[Any] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    page.click("text=landsat-0101")
    page.locator(".cell").last.click()
    expect(page.locator("#drawer-title")).to_contain_text(EVIL)
    page.keyboard.press("Escape")
    assert dialogs == []
    assert page.locator("img[src=x]").count() == 0


def measure(line: Line) -> Any:
    """Return a function that says after how many ms the page was painted first, three times."""

    def paint(page: Page) -> list[float]:
        times = []
        for _ in range(3):
            page.goto(f"http://127.0.0.1:{line.port}/")
            page.wait_for_function(
                "() => performance.getEntriesByName('first-contentful-paint').length"
            )
            times.append(
                round(
                    page.evaluate(
                        "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
                    )
                )
            )
        return times

    return paint


@ensure
async def test_it_works_without_scripts(line: Line, browser: Browser) -> None:
    line.start("rtb-api")
    await line.until(lambda summary: summary.units.total == 0)
    await line.client.place(order("jane", "april", 42))
    url = f"http://127.0.0.1:{line.port}/"

    def look(page: Page) -> None:
        context = page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
        plain = context.new_page()
        plain.goto(url)
        expect(plain.locator("[data-count=waiting]")).to_have_text("42")
        expect(plain.locator("#orders")).to_contain_text("april")
        expect(plain.locator("#live-text")).to_contain_text("as of ")
        context.close()

    await browser.do(look)
    await deferLater(line.reactor, 0, lambda: None)
    await line.end()


def test_axe_is_as_others_wrote_it() -> None:
    said = AXE.with_name("VERSION").read_text()
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() in said
    assert "Mozilla Public License" in AXE.with_name("LICENSE").read_text()
