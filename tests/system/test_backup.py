"""The commands of docs/how-to/backup.md, and the system that goes on with what they restored."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from line_support import TWISTD, Line, order
from twisted.internet.utils import getProcessOutputAndValue

from rtb.settings import Database

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "backup.md"


@pytest_twisted.ensureDeferred
async def test_the_system_goes_on_with_a_restored_ledger(
    line: Line, sandbox: Any, database: Database
) -> None:
    if database.port != sandbox.postgres.port:
        pytest.skip("the tools of the private server are of its version: it is needed")
    blocks = re.findall(r"^( *)```bash\n(.*?)^\1```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    back_up, restore, renew = (textwrap.dedent(text) for _, text in blocks)
    ledger = line.environment["RTB_DATABASE_URL"].partition("?")[0]
    restored = ledger.replace(database.name, "rtb_restored")
    environment = {
        **os.environ,
        "PATH": f"{sandbox.postgres._binaries}:{TWISTD.parent}:{os.environ['PATH']}",
        "LEDGER": ledger,
        "RESTORED": restored,
    }

    async def run(block: str) -> None:
        out, err, code = await getProcessOutputAndValue(
            "/bin/bash", ["-euc", block], env=environment, path=str(line.directory),
            reactor=line.reactor,
        )  # fmt: skip
        assert code == 0, (block, out, err)

    # Some have ended when the backup begins, and some run.
    gate = line.gate(free=20)
    for role in ("rtb-api", "rtb-leader", "rtb-agent"):
        line.start(role)
    await line.until_led()
    placed = await line.client.place(order(60))
    await line.client.go()
    await line.until(lambda summary: summary.units.settled == 20 and summary.units.processing == 8)
    # While units run: nothing is stopped for a backup.
    await run(back_up)
    gate.touch()
    await line.client.place(order(5, name="after the backup"))
    await line.until_settled(65)
    await line.end()
    await run(restore)

    try:
        line.environment["RTB_DATABASE_URL"] = restored
        line.database = attrs.evolve(database, name="rtb_restored")
        unsettled = "SELECT count(*) FROM units WHERE status NOT IN ('success', 'error')"
        assert line.sql(unsettled) == [(40,)]
        assert line.sql("SELECT count(*) FROM flights") != [(0,)], "some were under way"
        # The broker, with whatever it still has of the time after the backup, stays.
        await run(renew)
        assert line.sql("SELECT count(*) FROM flights") == [(0,)], "they wait again"
        for role in ("rtb-api", "rtb-leader", "rtb-agent"):
            line.start(role)
        await line.until_settled(60)
        assert (await line.client.order(placed["id"]))["status"] == "success"
        again = await line.client.place(order(3))
        assert again["units"] == 3
        await line.until_settled(63)
        outcomes = "SELECT count(*) FROM events WHERE kind = 'success'"
        assert line.sql(outcomes) == [(63,)], "each once, the ones of before the backup too"
        await line.end()
        line.check()
    finally:
        await sandbox.postgres.drop_database("rtb_restored")
