"""Every shell and Python block of README and docs, run as it stands against one running system.

A block that cannot be run here has ``<!-- not run: why -->`` above it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from blocks import RUNNABLE, read, script
from pytest_twisted import blockon
from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue

from rtb.settings import Settings
from tests.system.line_support import Line, order

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Where the docs say that the API is.
ADDRESS = "localhost:8080"
_NAME = "rtb_docs"

# One system for all pages, so one process for all of them.
pytestmark = pytest.mark.xdist_group("docs")


@pytest.fixture(scope="module")
def system(sandbox: Any, reactor: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """API, leader and agent in one process, and an order to look at."""
    blockon(Deferred.fromCoroutine(sandbox.postgres.create_database(_NAME)))
    blockon(Deferred.fromCoroutine(sandbox.rabbit.management.add_vhost(_NAME)))
    settings = Settings.load({}, sandbox.environment())
    database = attrs.evolve(settings.db, name=_NAME)
    vhost = attrs.evolve(settings.amqp, vhost=_NAME)
    line = Line(reactor, database, vhost, tmp_path_factory.mktemp("system"))
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=0.02"
    line.start("rtb")
    blockon(Deferred.fromCoroutine(_begin(line)))
    yield line
    blockon(Deferred.fromCoroutine(line.end()))


async def _begin(line: Line) -> None:
    await line.until_led()
    await line.client.place(order(5))
    await line.client.go()


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory like the checkout, in which a page may write."""
    for name in ("examples", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / "desk" / name)
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    # As people call it, but an answer that is a problem is one here.
    curl.write_text(f'#!/bin/sh\nexec {shutil.which("curl")} -sS --fail-with-body "$@"\n')
    curl.chmod(0o755)
    return tmp_path / "desk"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in read(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)  # fmt: skip
@pytest_twisted.ensureDeferred
async def test_a_page_does_what_it_says(page: Path, system: Line, desk: Path) -> None:
    blocks = [
        attrs.evolve(
            block,
            text=block.text.replace(ADDRESS, f"localhost:{system.port}"),
        )
        for block in read(page)
        if block.runs
    ]
    program, shown = script(blocks, desk.parent)
    path = (desk.parent / "bin", Path(sys.executable).parent, os.environ["PATH"])
    temporary = desk.parent / "temporary"
    temporary.mkdir()
    environment = {
        **system.environment, "PATH": ":".join(map(str, path)), "NO_COLOR": "1",
        "TMPDIR": str(temporary),
    }  # fmt: skip
    running = getProcessOutputAndValue(
        "/bin/bash", ["-c", program], env=environment, path=str(desk), reactor=system.reactor
    )
    out, err, code = await running.addTimeout(180, system.reactor)
    said = f"{out.decode()}\n{err.decode()}"
    assert code == 0, said
    for file, expected in shown.items():
        printed = file.read_text().replace(str(temporary), "/tmp")
        assert not expected or printed == expected, said
    assert "Traceback" not in said


def test_what_is_not_run_says_why() -> None:
    unmarked = {"include", "toctree"}
    for page in PAGES:
        for block in read(page):
            assert block.language in RUNNABLE | unmarked | {
                "csv", "ini", "json", "mermaid", "text", "yaml",
            }, f"{page}:{block.line}: nobody looks at {block.language}"  # fmt: skip
            if block.kind == "not run":
                assert len(block.reason.split()) >= 3, f"{page}:{block.line}"
