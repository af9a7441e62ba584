"""Functions of the reactor that the tests of Python workloads run."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, succeed
from twisted.internet.task import deferLater

from rtb.workload import Permanent, Unit


async def coroutine(unit: Unit) -> Any:
    return await succeed(unit.payload)


@inlineCallbacks
def inline(unit: Unit) -> Any:
    yield succeed(1)
    return unit.payload


def deferred(unit: Unit) -> Deferred[Any]:
    return succeed(unit.payload)


async def cancelled(unit: Unit) -> None:
    await Deferred()


async def waits(unit: Unit) -> str:
    await deferLater(reactor, unit.payload)
    return "waited"


async def never_ends(unit: Unit) -> None:
    while True:
        try:
            await Deferred()
        except CancelledError:
            continue


async def raises(unit: Unit) -> None:
    raise Permanent("never") if unit.payload else KeyError("later")


async def nan(unit: Unit) -> float:
    return float("nan")


class _Callable:
    async def __call__(self, unit: Unit) -> Any:
        return unit.payload


instance = _Callable()
