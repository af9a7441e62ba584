from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rtb.pulse import Pulse


class Work:
    """Work that takes until it is told to end, and a record of it."""

    def __init__(self) -> None:
        self.begun = 0
        self.under_way: list[Deferred[None]] = []
        self.failures: list[Failure] = []

    async def __call__(self) -> None:
        self.begun += 1
        end: Deferred[None] = Deferred()
        self.under_way.append(end)
        await end

    def end(self) -> None:
        self.under_way.pop(0).callback(None)

    def fail(self, problem: Exception) -> None:
        self.under_way.pop(0).errback(problem)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def pulse(work: Work) -> Pulse:
    return Pulse(work, work.failures.append)


def test_idle_it_acts_at_once(work: Work, pulse: Pulse) -> None:
    assert work.begun == 0
    pulse.kick()
    assert work.begun == 1


def test_busy_it_gathers_and_goes_again_once(work: Work, pulse: Pulse) -> None:
    for _ in range(5):
        pulse.kick()
    assert (work.begun, len(work.under_way)) == (1, 1)
    work.end()
    assert (work.begun, len(work.under_way)) == (2, 1)
    work.end()
    assert (work.begun, len(work.under_way)) == (2, 0)
    pulse.kick()
    assert work.begun == 3


def test_a_failure_is_told_and_the_next_kick_tries_again(work: Work, pulse: Pulse) -> None:
    pulse.kick()
    work.fail(ValueError("no"))
    assert [failure.type for failure in work.failures] == [ValueError]
    assert work.begun == 1
    pulse.kick()
    assert work.begun == 2
    pulse.kick()
    work.fail(ValueError("no"))
    assert work.begun == 3  # it was kicked while it failed


def test_one_whose_teller_fails_goes_on(work: Work, errors_fail: Any) -> None:
    def failed(failure: Failure) -> None:
        failure.trap(KeyError)

    pulse = Pulse(work, failed)
    pulse.kick()
    work.fail(ValueError("unexpected"))
    pulse.kick()
    assert work.begun == 2
    assert [failure.type for failure in errors_fail.consume()] == [ValueError]


def test_work_that_is_done_at_once() -> None:
    done: list[int] = []

    async def at_once() -> None:
        done.append(1)
        if len(done) < 50:
            pulse.kick()

    pulse = Pulse(at_once, lambda failure: None)
    pulse.kick()
    assert len(done) == 50


def results_of(deferred: Deferred[None]) -> list[Any]:
    results: list[Any] = []
    deferred.addCallback(results.append)
    return results


def test_stopped_while_idle_is_stopped(work: Work, pulse: Pulse) -> None:
    assert results_of(pulse.stop()) == [None]
    pulse.kick()
    assert work.begun == 0


def test_stopping_waits_for_what_is_under_way(work: Work, pulse: Pulse) -> None:
    pulse.kick()
    pulse.kick()
    stopped, again = results_of(pulse.stop()), results_of(pulse.stop())
    pulse.kick()
    assert stopped == again == []
    work.end()
    assert stopped == again == [None]
    assert (work.begun, work.under_way) == (1, [])
    assert results_of(pulse.stop()) == [None]


def test_stopping_waits_for_what_fails(work: Work, pulse: Pulse) -> None:
    pulse.kick()
    stopped = results_of(pulse.stop())
    work.fail(ValueError("no"))
    assert stopped == [None]
    assert len(work.failures) == 1
