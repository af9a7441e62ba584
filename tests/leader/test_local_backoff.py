"""How often the local launcher tries when agents fail at once; processes and time by hand."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.error import ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from rtb.leader.local import LocalLauncher
from rtb.model.wire import Presence, Track


class Machine(Clock):
    """Time, and the processes that were started, none of which is real."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []

    def spawnProcess(self, process: Any, *_: Any, **__: Any) -> None:
        self.started.append(process)

    def fail(self, number: int) -> None:
        """End the process that was started as the *number*-th, from 0."""
        self.started[number].processEnded(Failure(ProcessTerminated(exitCode=1)))


class Nobody:
    """Whom the launcher tells."""

    def find(self, container: str) -> Track | None: ...

    def present(self) -> frozenset[str]:
        return frozenset()

    def exited(self, container: str, how: str) -> None: ...

    def given_up(self, container: str) -> None: ...

    def changed(self) -> None: ...


def make(machine: Machine) -> LocalLauncher:
    names = (str(number) for number in count())
    launcher = LocalLauncher(
        machine, host="here", environment={}, logs=None, token=lambda: next(names)
    )
    launcher.begin(Nobody())
    return launcher


def test_after_a_failure_they_are_started_one_at_a_time_however_often_they_are_wanted() -> None:
    machine = Machine()
    launcher = make(machine)
    launcher.want(3)
    assert len(machine.started) == 3
    machine.fail(0)
    # The others take longer to fail than the first delay, and the leader asks again and again.
    for _ in range(50):
        machine.advance(0.1)
        launcher.want(3)
    assert len(machine.started) == 3
    machine.fail(1)
    machine.fail(2)
    for _ in range(100):
        machine.advance(0.1)
        launcher.want(3)
    assert len(machine.started) == 4, "it has not told yet whether it runs"


def test_one_that_says_hello_brings_the_others_at_once() -> None:
    machine = Machine()
    launcher = make(machine)
    launcher.want(3)
    for number in range(3):
        machine.fail(number)
    machine.advance(1.0)
    assert len(machine.started) == 4
    launcher.heard(hello("local-3"))
    launcher.want(3)
    assert len(machine.started) == 6


def hello(container: str) -> Track:
    return Track(
        ledger="", box="outbox", agent="a", name="a", host="here", pid=1, presence=Presence.READY,
        seq=1, session=1, leader="", heard=0, slots=1, workloads=[], holding=[],
        container=container,
    )  # fmt: skip
