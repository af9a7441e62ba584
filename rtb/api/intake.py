"""Takes streamed orders in, a few at a time, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from rtb.api.upload import Upload
from rtb.errors import RtbError
from rtb.ledger import Loading
from rtb.model.intake import form
from rtb.model.lines import Sheet
from rtb.model.orders import NewOrder
from rtb.settings import Database

__all__ = ["Intake", "TooManyError"]

#: Uploads at a time: each has a connection to PostgreSQL, and a thread while it works.
_MOST = 8


class TooManyError(RtbError):
    """As many orders are being uploaded as this API takes at a time."""

    retryable = True


class Intake(Service):
    """Begins uploads.

    :param ended: told after each one: what it left may have to follow
    """

    def __init__(self, reactor: Any, database: Database, ended: Callable[[], None]) -> None:
        self._reactor = reactor
        self._database = database
        self._ended = ended
        self._pool = ThreadPool(0, _MOST, "rtb-intake")
        self._uploads: set[Upload] = set()

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._pool.start()

    def stopService(self) -> Deferred[None]:
        """Abort what is under way; fires when nothing of it is left."""
        super().stopService()
        for upload in self._uploads:
            upload.abort()
        return DeferredList([upload.done for upload in self._uploads]).addCallback(self._idle)

    def _idle(self, _: object) -> None:
        self._pool.stop()

    def begin(
        self,
        order: NewOrder,
        kind: str,
        *,
        about: bytes,
        atomic: bool,
        key: str | None,
        closed: bool,
        hold_back: Callable[[bool], None],
        refuse: Callable[[Failure], None],
    ) -> Upload:
        """Return a new upload of *order*, whose units come as *kind*.

        :raises TooManyError: not now
        """
        if len(self._uploads) >= _MOST or not self.running:
            raise TooManyError
        upload = Upload(
            lambda work: deferToThreadPool(self._reactor, self._pool, work),
            Loading(self._database, order, key=key, closed=closed),
            Sheet(form(kind)),
            about=about,
            atomic=atomic,
            hold_back=hold_back,
            refuse=refuse,
        )
        self._uploads.add(upload)
        upload.done.addCallback(self._over, upload)
        return upload

    def _over(self, _: None, upload: Upload) -> None:
        self._uploads.discard(upload)
        self._ended()
