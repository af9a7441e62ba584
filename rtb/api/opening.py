"""Opens the ledger: waits for PostgreSQL, brings the tables up to date, begins the backlog."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.errors import RtbError
from rtb.ledger import SchemaError
from rtb.ledger.migrations import migrate
from rtb.pulse import Pulse
from rtb.settings import Settings

__all__ = ["Opening"]

_RETRY = 0.25
_RETRY_MOST = 5.0


class Opening(Service):
    """Migrates at start, and again when the tables turn out to be gone."""

    _log = Logger()

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._pulse = Pulse(self._open, self._failed)
        self._waiting: list[Deferred[None]] = []
        #: What it waits for; empty when the ledger is open.
        self.problem = "the ledger has not been opened yet"

    def startService(self) -> None:
        """Begin to open."""
        super().startService()
        self._pulse.kick()

    async def stopService(self) -> None:
        """Stop trying."""
        super().stopService()

    def when_open(self) -> Deferred[None]:
        """Fire when the ledger is open; at once if it is."""
        opened: Deferred[None] = Deferred()
        if self.problem:
            self._waiting.append(opened)
        else:
            opened.callback(None)
        return opened

    def again(self, problem: SchemaError) -> None:
        """The tables are gone: the database was made anew."""
        if not self.problem:
            self.problem = str(problem)
            self._pulse.kick()

    async def _open(self) -> None:
        delay = _RETRY
        said = ""
        while self.running:
            try:
                for name in await migrate(
                    self._reactor, self._settings.db, seed_count=self._settings.seed_count
                ):
                    self._log.info("migrated the ledger: {name}", name=name)
            except RtbError as problem:
                self.problem = str(problem)
                if self.problem != said:
                    self._log.warn("waiting for the ledger: {why}", why=self.problem)
                said = self.problem
                await deferLater(self._reactor, delay, lambda: None)
                delay = min(delay * 2, _RETRY_MOST)
            else:
                break
        else:
            return
        self.problem = ""
        self._log.info("the ledger is open at {where}", where=self._settings.db.where)
        waiting, self._waiting = self._waiting, []
        for opened in waiting:
            opened.callback(None)

    def _failed(self, failure: Failure) -> None:
        self.problem = failure.getErrorMessage()
        self._log.failure("opening the ledger failed", failure)
