"""How runs follow each other; what a run does has tests of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from rtb.chaos.campaign import Campaign
from rtb.chaos.tiers import TIERS
from rtb.errors import ConfigurationError


def campaign(reactor: Any, **values: Any) -> Campaign:
    return Campaign(
        **{"reactor": reactor, "environ": {}, "tier": TIERS["nightly"], "seed": 7, "runs": 5}
        | {"say": lambda text: None, "directory": Path("unused"), **values}
    )


@pytest.mark.parametrize(("jobs", "held"), [(1, True), (2, True), (2, False), (9, True)])
@pytest_twisted.ensureDeferred
async def test_each_seed_runs_once_as_many_at_a_time_as_is_said(
    reactor: Any, monkeypatch: pytest.MonkeyPatch, jobs: int, held: bool
) -> None:
    begun: list[int] = []
    under_way: list[Deferred[bool]] = []

    async def one(_: Campaign, seed: int, number: int) -> bool:
        assert seed == 7 + number
        begun.append(seed)
        ended: Deferred[bool] = Deferred()
        under_way.append(ended)
        return await ended

    monkeypatch.setattr(Campaign, "_one", one)
    running = Deferred.fromCoroutine(campaign(reactor, jobs=jobs).run())
    while under_way:
        assert len(under_way) == min(jobs, 5 - len(begun) + len(under_way))
        ended = under_way.pop(0)
        ended.callback(held or len(begun) < 5)
    assert begun == [7, 8, 9, 10, 11]
    assert await running is held


@pytest_twisted.ensureDeferred
async def test_given_servers_are_for_one_run_at_a_time(reactor: Any) -> None:
    given = {"RTB_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    with pytest.raises(ConfigurationError, match="servers of their own"):
        await campaign(reactor, environ=given, jobs=2).run()
