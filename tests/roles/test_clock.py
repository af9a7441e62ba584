from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from rtb.roles.clock import use_monotonic_clock


@pytest.fixture
def another_reactor() -> Iterator[Any]:
    made = SelectReactor()
    yield made
    for call in made.getDelayedCalls():
        call.cancel()
    made.waker.connectionLost(Failure(ConnectionDone()))


def test_a_step_of_the_wall_clock_holds_no_timer_up(another_reactor: Any) -> None:
    step = 0.0
    another_reactor.seconds = lambda: time.time() + step
    fired: list[str] = []
    another_reactor.callLater(0.01, fired.append, "before")
    use_monotonic_clock(another_reactor)
    step = -3600.0
    another_reactor.callLater(0.02, fired.append, "after")
    limit = time.monotonic() + 5
    while len(fired) < 2 and time.monotonic() < limit:
        another_reactor.iterate(0.01)
    assert fired == ["before", "after"]


def test_waiting_calls_keep_their_distance_and_can_still_be_moved(another_reactor: Any) -> None:
    calls = [another_reactor.callLater(delay, int) for delay in (30, 10, 20)]
    use_monotonic_clock(another_reactor)
    use_monotonic_clock(another_reactor)
    for call, delay in zip(calls, (30, 10, 20), strict=True):
        assert call.getTime() - time.monotonic() == pytest.approx(delay, abs=1)
    calls[0].reset(5)
    assert calls[0].getTime() - time.monotonic() == pytest.approx(5, abs=1)
