"""The book: it builds without a warning, and nothing that the code has is missing in it."""

from __future__ import annotations

import html
import re
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from rtb.api.web.routes import ROUTES
from rtb.cli import main
from rtb.model.wire import messages
from rtb.settings import SETTINGS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.xdist_group("book")


def words(book: Path, page: str) -> str:
    """Return what is to be read on *page*, with one space between words."""
    text = re.sub(r"<[^>]+>", "", (book / f"{page}.html").read_text())
    return " ".join(html.unescape(text).split())


def test_every_page_is_in_the_book(book: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (book / page.relative_to(DOCS).with_suffix(".html")).exists(), page
        assert "<!-- generated" not in words(book, str(page.relative_to(DOCS).with_suffix("")))


def test_it_needs_no_network(book: Path) -> None:
    for page in book.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r'<(?:script|img|source|iframe)\b[^>]*\bsrc="([^"]+)"', text)
        loaded += re.findall(r'<link\b[^>]*\bhref="([^"]+)"', text)
        assert loaded
        assert not [url for url in loaded if re.match(r"(?:\w+:)?//", url)], page
    for sheet in book.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", sheet.read_text()), sheet


def test_every_route(book: Path) -> None:
    shown = words(book, "reference/http")
    for route in ROUTES:
        path = re.sub(r"<(?:[^<>]*:)?(\w+)>", r"{\1}", route.path)
        for method in route.methods:
            assert f"{method} {path} " in shown, route


def test_every_setting(book: Path) -> None:
    shown = words(book, "reference/settings")
    for row in SETTINGS:
        for text in (row.name, row.flag, row.default, row.help[1:], row.file_name):
            assert " ".join(text.split()) in shown, (row, text)


def test_every_command(book: Path) -> None:
    shown = words(book, "reference/cli")

    def look(name: str, command: click.Command) -> int:
        assert name in shown
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in shown, (name, option)
        if not isinstance(command, click.Group):
            return 1
        context = click.Context(command)
        below = [(sub, command.get_command(context, sub)) for sub in command.list_commands(context)]
        return sum(look(f"{name} {sub}", found) for sub, found in below if found is not None)

    assert look("rtb", main) >= 20


def test_every_metric(book: Path) -> None:
    explained = set(re.findall(r"^\| `(\w+)`", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    shown = set(re.findall(r"\b(?:rtb|python)_\w+", words(book, "reference/metrics")))
    assert {re.sub(r"_total$", "", name) for name in shown} == explained


def test_every_message(book: Path) -> None:
    shown = words(book, "reference/messages")
    for name in messages.__all__:
        kind = getattr(messages, name)
        for field in getattr(kind, "__struct_fields__", ()):
            assert f" {field} " in shown, (name, field)
    for file in (ROOT / "tests" / "wire" / "v1").glob("*.json"):
        assert file.stem in shown
    for key in ("out.<box>", "status.<kind>", "inbox", "x-single-active-consumer"):
        assert key in shown


def test_every_alert_has_a_runbook(book: Path) -> None:
    rules = YAML(typ="safe").load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    page = (book / "alerts.html").read_text()
    for alert in alerts:
        file, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert file == "docs/alerts.md"
        assert anchor == alert["alert"].lower()
        assert f'<section id="{anchor}">' in page
    named = re.findall(r"^## (Rtb\w+)$", (DOCS / "alerts.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(alert["alert"] for alert in alerts)
