"""The page as it leaves the API: before any script, and what it is made of."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from live_support import LiveWeb
from web_support import Said, Web

from rtb.api.web import pages

ensure = pytest_twisted.ensureDeferred
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
DIRECTORY = Path(pages.__file__).with_name("page")


class Reader(HTMLParser):
    """Finds what a page refers to, and what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.state = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self._inside = tag
        for name, value in attrs:
            self.attributes.append(name)
            if name in ("src", "href"):
                self.refers.append(value)

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.state += data
        else:
            self.text += data


def read(said: Said) -> Reader:
    reader = Reader()
    reader.feed(said.body.decode())
    return reader


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER["Accept"], True),
        ("text/html", True),
        ("TEXT/HTML;level=1", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html;q=0", False),
        ("text/*", False),
    ],
)
@ensure
async def test_html_only_for_who_names_it(web: Web, accept: str, html: bool) -> None:
    web.desk.prepared["summary"] = {"units": {}}
    said = await web.ask("GET", "/", headers={"Accept": accept})
    assert said.status == 200
    assert said.headers["vary"] == "Accept"
    assert said.headers["content-type"] == (pages.HTML if html else "application/json")


@ensure
async def test_the_numbers_are_in_the_html(live_web: LiveWeb) -> None:
    await live_web.place(*(f"unit-{number}" for number in range(1234)), name="april")
    said = await live_web.web.ask("GET", "/", headers=BROWSER)
    reader = read(said)
    assert reader.text.count("1\N{NARROW NO-BREAK SPACE}234") >= 3, "tile, total, order"
    assert "april" in reader.text
    assert "noscript" in reader.tags
    state = json.loads(reader.state)
    assert state["units"]["waiting"] == 1234
    assert len(state["trace"]["t"]) == 60


@ensure
async def test_nothing_that_a_user_named_is_markup(live_web: LiveWeb) -> None:
    evil = "<img src=x onerror=alert(1)></script><script>alert(2)</script>&\u2028"
    await live_web.place("a", account=evil[:60], name=evil)
    said = await live_web.web.ask("GET", "/", headers=BROWSER)
    plain = read(await live_web.web.ask("GET", "/", headers=BROWSER))
    assert b"<img src=x" not in said.body
    assert plain.tags.count("img") == 1
    assert plain.tags.count("script") == 4
    assert json.loads(plain.state)["orders"][0]["name"].startswith("<img src=x")


@ensure
async def test_the_policy_leaves_nothing_to_others(web: Web) -> None:
    said = await web.ask("GET", "/", headers=BROWSER)
    policy = said.headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    reader = read(said)
    assert "style" not in reader.attributes
    assert not [name for name in reader.attributes if name.startswith("on")]
    assert not [place for place in reader.refers if re.match(r"[a-z]+:|/", place)]


@ensure
async def test_all_that_the_page_refers_to_is_there_and_is_small(web: Web) -> None:
    said = await web.ask("GET", "/", headers=BROWSER)
    files = {place for place in read(said).refers if place.startswith("page/")}
    sources = {
        f"page/{path.name}" for path in DIRECTORY.iterdir() if path.suffix in {".js", ".css"}
    }
    assert sources <= files, "all of it begins to load with the page"
    plain, small = len(said.body), 0
    for place in sorted(files):
        file = await web.ask("GET", f"/{place}")
        assert file.status == 200
        plain += len(file.body)
        fresh = await web.ask("GET", f"/{place}", headers={"If-None-Match": file.headers["etag"]})
        assert (fresh.status, fresh.body) == (304, b"")
        packed = await web.raw(
            f"GET /{place} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, br\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == file.body
        small += len(packed.body)
    assert plain <= 120 * 1024, plain
    assert small <= 50 * 1024


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2Fpages.py", "uplot.LICENSE"])
@ensure
async def test_nothing_else_is_served(web: Web, name: str) -> None:
    assert (await web.ask("GET", f"/page/{name}")).is_problem(404)


def test_what_others_wrote_is_as_they_wrote_it() -> None:
    said = (DIRECTORY / "uplot.VERSION").read_text()
    sums = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", said, re.MULTILINE))
    assert list(sums.values()) == ["uplot.js"]
    for digest, name in sums.items():
        assert hashlib.sha256((DIRECTORY / name).read_bytes()).hexdigest() == digest
    version = re.search(r"uPlot (\S+),", said)
    assert version is not None
    assert f"(v{version[1]})" in (DIRECTORY / "uplot.js").read_text()[:200]
    assert "The MIT License" in (DIRECTORY / "uplot.LICENSE").read_text()
