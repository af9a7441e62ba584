"""20,000 units in one CSV, while somebody watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted
import treq
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from rtb.settings import Broker, Database
from tests.system.line_support import Line

UNITS = 20_000


@pytest_twisted.ensureDeferred
async def test_they_are_in_within_5_seconds_and_the_feed_goes_on(
    reactor: Any, database: Database, vhost: Broker, tmp_path: Path
) -> None:
    line = Line(reactor, database, vhost, tmp_path)
    sheet = "name,scene\n" + "".join(f"unit-{n},LT5040{n:07}\n" for n in range(UNITS))
    seen: list[bytes] = []
    try:
        line.start("rtb-api")
        await line.until(lambda summary: summary.units.total == 0)
        url = f"http://127.0.0.1:{line.port}"
        stream = await treq.get(f"{url}/events", persistent=False, unbuffered=True)
        watching: Deferred[None] = stream.collect(seen.append)
        watching.addErrback(lambda _: None)  # it ends with the API
        took, waited = [], []
        for attempt in range(2):
            began = reactor.seconds()
            loading = Deferred.fromCoroutine(
                line.client.place_lines(sheet.encode(), "text/csv", query={"name": f"n{attempt}"})
            )
            while not loading.called:
                asked = reactor.seconds()
                await treq.content(await treq.get(f"{url}/livez", persistent=False))
                waited.append(reactor.seconds() - asked)
                await deferLater(reactor, 0.02)
            assert (await loading)["units"] == UNITS
            took.append(reactor.seconds() - began)
        assert min(took) < 5.0, took
        assert sorted(waited)[len(waited) // 2] < 0.5, "half of the answers come at once"
        end = reactor.seconds() + 60
        while b'"total":40000' not in b"".join(seen):
            assert reactor.seconds() < end
            await deferLater(reactor, 0.1)
        frames = b"".join(seen).split(b"\n\n")
        assert max(map(len, frames)) < 8192
        print(f"{UNITS} units in {min(took):.1f} s, answers meanwhile in {max(waited):.2f} s")
    finally:
        await line.end()
