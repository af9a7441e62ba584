"""Puts the live parts together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred

from rtb.api.depths import Depths
from rtb.api.live.bell import Bell
from rtb.api.live.feed import Feed
from rtb.api.live.waits import Waits
from rtb.api.live.watcher import Watcher
from rtb.ledger import PageReads

__all__ = ["LOST_EPOCHS", "Live"]

#: Epochs of silence after which an agent counts as lost: what it says reaches the ledger twice in
#: one, so these are at least two of its words.
LOST_EPOCHS = 1.6


class Live(MultiService):
    """The feed and those who wait, behind one bell."""

    def __init__(
        self,
        reactor: Any,
        reads: PageReads,
        readiness: Callable[[], Mapping[str, str]],
        bell: Bell,
        depths: Depths,
        *,
        epoch: float,
        mark: str,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._reads = reads
        watcher = Watcher(reads, readiness, depths, reactor.seconds, wall, LOST_EPOCHS * epoch)
        self._waits = Waits(reactor, reads)
        self.feed = Feed(
            reactor, reads, watcher, self._waits, wall, mark=mark, version=version("rtb")
        )
        bell.listen(self.feed.kick)
        bell.listen(self._waits.kick)
        self._waits.setServiceParent(self)
        self.feed.setServiceParent(self)

    def stopService(self) -> Deferred[None]:
        """Let everybody go, then close the connection to the ledger."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await super().stopService()
        self._reads.close()
