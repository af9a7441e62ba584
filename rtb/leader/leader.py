"""The leader of a box: takes its lock, or stands by for it, once per session."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker import BrokerClient, Refused, Session
from rtb.broker.topology import box, private, track
from rtb.leader.reign import Reign
from rtb.leader.staff import Staff
from rtb.model.names import new_incarnation
from rtb.model.pace import Pace

__all__ = ["Leader"]

#: Seconds between two tries of a standby to take the lock.
_STANDBY = 1.0
_PREFETCH = 500
#: Seconds that giving back on stop may take.
_RESIGN_LIMIT = 2.0


class _Stage(Enum):
    CONNECTING = "waits for the broker"
    STANDING_BY = "stands by"
    LEADING = "leads"


class Leader(Service):
    """Leads *name* whenever it holds the box's lock: an exclusive consumer on ``<box>.track``.

    :param random_bytes: for incarnations
    :param capacity: N
    :param staff: keeps agents; without it, others do
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        client: BrokerClient,
        *,
        name: str,
        capacity: int,
        pace: Pace,
        random_bytes: Callable[[int], bytes],
        staff: Staff | None = None,
    ) -> None:
        self._reactor = reactor
        self._client = client
        self._box = name
        self._capacity = capacity
        self._pace = pace
        self._random_bytes = random_bytes
        self._staff = staff if staff is not None else Staff()
        self.reign: Reign | None = None
        self._stage = _Stage.CONNECTING
        client.on_session(self._began)

    @property
    def stage(self) -> str:
        """What it does, in words."""
        return self._stage.value

    def stopService(self) -> Deferred[None]:
        """Give back what no agent has, and lead no more."""
        super().stopService()
        if self.reign is None:
            return succeed(None)
        resigned = Deferred.fromCoroutine(self.reign.resign())
        resigned.addTimeout(_RESIGN_LIMIT, self._reactor)
        return resigned.addErrback(self._not_said)

    async def _began(self, session: Session) -> None:
        await session.declare(*box(self._box))
        while self.running and not session.is_over:
            try:
                await self._lead(session)
            except Refused:
                self._stand_by()
                await deferLater(self._reactor, _STANDBY, lambda: None)
            else:
                return

    async def _lead(self, session: Session) -> None:
        reign = Reign(
            self._reactor,
            self._client,
            session,
            box=self._box,
            leader=new_incarnation(self._random_bytes),
            capacity=self._capacity,
            pace=self._pace,
            staff=self._staff,
        )
        # The lock comes before anything is consumed from the box.
        await session.consume(track(self._box), reign.tracked, prefetch=_PREFETCH, exclusive=True)
        self._stage = _Stage.LEADING
        self.reign = reign
        session.when_lost().addCallback(lambda _: self._ended(reign))
        control = f"control.{self._box}.{reign.leader}"
        await session.declare(*private(control, f"control.{self._box}"))
        await session.consume(control, reign.controlled, prefetch=_PREFETCH)
        await reign.begin()

    def _ended(self, reign: Reign) -> None:
        reign.end()
        if self.reign is reign:
            self.reign = None
            self._stage = _Stage.CONNECTING

    def _stand_by(self) -> None:
        if self._stage is not _Stage.STANDING_BY:
            self._log.info("box {box} has a leader: standing by", box=self._box)
        self._stage = _Stage.STANDING_BY

    def _not_said(self, failure: Failure) -> None:
        # What was not given back is rescued when nobody vouches for it.
        self._log.warn("left without giving all back: {why}", why=failure.getErrorMessage())
