"""One streamed order on its way in: pieces from the reactor, lines and COPY in threads.

While PostgreSQL takes some lines, the next ones are read.

The pieces of the body wait here, a megabyte of them at most; whoever sends is held back beyond
that. So memory stays flat however long the stream is.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from itertools import islice
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.errors import RtbError
from rtb.ledger import LedgerError, Loading
from rtb.model.lines import FAULTS_SHOWN, BadLinesError, Fault, Row, Sheet

__all__ = ["Aborted", "Upload"]

#: Bytes that are worth a batch, and that may wait.
_BATCH = 256 * 1024
_FULL = 1024 * 1024
#: Units that are loaded in one transaction: all of a batch, if they are only names.
_ROWS = 20_000
_T = TypeVar("_T")

#: Runs something blocking in a thread, and fires with what it returns.
Threaded = Callable[[Callable[[], Any]], Deferred[Any]]


class Aborted(RtbError):
    """The client did not go on: nothing was placed."""


class _Phase(Enum):
    COMING = auto()
    ENDED = auto()
    ABORTED = auto()
    OVER = auto()


class Upload:
    """Feeds *loading*.

    :param about: what the order is besides its body, for the fingerprint
    :param atomic: take all lines or none; otherwise those that are units
    :param hold_back: told True when no more should come for a while, and False when it should
    :param refuse: told why, if it fails before its end
    """

    _log = Logger()

    def __init__(
        self,
        threaded: Threaded,
        loading: Loading,
        sheet: Sheet,
        *,
        about: bytes,
        atomic: bool,
        hold_back: Callable[[bool], None],
        refuse: Callable[[Failure], None],
    ) -> None:
        self._threaded = threaded
        self._loading = loading
        self._sheet = sheet
        self._atomic = atomic
        self._hold_back = hold_back
        self._refuse = refuse
        self._sum = hashlib.sha256(about)
        self._phase = _Phase.COMING
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._held_back = False
        self._news: Deferred[None] | None = None
        self._outcome: Deferred[dict[str, Any]] = Deferred()
        self._fresh = True
        #: What was read and is being loaded: one thing at a time, in the order of the lines.
        self._under_way: Deferred[None] = succeed(None)
        self._faults: list[Fault] = []
        self._refused = 0
        #: Fires, never fails, when all of it is over.
        self.done: Deferred[None] = Deferred.fromCoroutine(self._run()).addErrback(self._failed)

    # ---- what the client does

    def feed(self, data: bytes) -> None:
        """A piece of the body came."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= _FULL and not self._held_back and self._phase is _Phase.COMING:
            self._held_back = True
            self._hold_back(True)
        self._tell()

    def end(self) -> Deferred[dict[str, Any]]:
        """All of the body came; return the answer."""
        if self._phase is _Phase.COMING:
            self._phase = _Phase.ENDED
            self._tell()
        return self._outcome

    def abort(self) -> None:
        """No more will come, and nothing of it is to be placed; nothing happens after the end."""
        if self._phase is _Phase.COMING:
            self._phase = _Phase.ABORTED
            self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.callback(None)

    # ---- what is done with it

    async def _run(self) -> None:
        try:
            self._fresh = await self._threaded(self._loading.begin)
            while (data := await self._next()) is not None:
                found = await self._threaded(lambda data=data: self._read(data))  # type: ignore[misc]
                await self._load(found)
            await self._loaded()
            answer = await self._threaded(self._conclude)
        except Exception:
            failure = await self._first_of(Failure())
            await self._threaded(self._loading.discard)
            self._end_badly(failure)
        else:
            self._phase = _Phase.OVER
            await self._threaded(self._loading.close)
            self._outcome.callback(answer)

    async def _load(self, found: list[Row | Fault]) -> None:
        """Begin to load *found* when what was read before is loaded."""
        await self._loaded()
        self._under_way = self._threaded(lambda: self._add_all(iter(found)))

    async def _loaded(self) -> None:
        """Wait for what is being loaded; what went wrong with it is raised once."""
        under_way, self._under_way = self._under_way, succeed(None)
        await under_way

    async def _first_of(self, failure: Failure) -> Failure:
        """Return what went wrong with the lines that came first; nothing loads any more then."""
        try:
            await self._loaded()
        except Exception:
            return Failure()
        return failure

    def _end_badly(self, failure: Failure) -> None:
        early = self._phase is _Phase.COMING
        answered = self._phase is _Phase.ENDED
        self._phase = _Phase.OVER
        self._pieces.clear()
        if answered:
            self._outcome.errback(failure)
        elif early:
            self._refuse(failure)

    async def _next(self) -> bytes | None:
        """Return the next batch of bytes; None at the end."""
        while self._phase is _Phase.COMING and self._size < _BATCH:
            self._news = Deferred()
            await self._news
        if self._phase is _Phase.ABORTED:
            raise Aborted
        if self._phase is _Phase.ENDED and not self._pieces:
            return None
        taken: list[bytes] = []
        wanted = _BATCH
        while self._pieces and wanted > 0:
            taken.append(self._pieces.popleft())
            wanted -= len(taken[-1])
            self._size -= len(taken[-1])
        if self._held_back and self._size < _FULL:
            self._held_back = False
            self._hold_back(False)
        return b"".join(taken)

    # ---- in the thread

    def _read(self, data: bytes) -> list[Row | Fault]:
        self._sum.update(data)
        return list(self._sheet.feed(data)) if self._fresh else []

    def _add_all(self, found: Iterator[Row | Fault]) -> None:
        while some := list(islice(found, _ROWS)):
            self._add(some)

    def _add(self, found: Sequence[Row | Fault]) -> None:
        rows = [row for row in found if not isinstance(row, Fault)]
        self._note([fault for fault in found if isinstance(fault, Fault)])
        while rows and (twice := self._loading.add(rows)):
            self._note(twice)
            lines = {fault.line for fault in twice}
            rows = [row for row in rows if row[0] not in lines]

    def _note(self, faults: list[Fault]) -> None:
        if faults and self._atomic:
            raise BadLinesError(faults)
        self._refused += len(faults)
        self._faults += faults[: FAULTS_SHOWN - len(self._faults)]

    def _conclude(self) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if self._fresh:
            self._add_all(self._sheet.end())
        if not self._atomic:
            errors = [{"line": fault.line, "reason": fault.reason} for fault in self._faults]
            more = {"refused": self._refused, "errors": errors}
        return self._loading.conclude(self._sum.hexdigest(), more)

    def _failed(self, failure: Failure) -> None:
        if failure.check(LedgerError):
            self._log.warn("an upload ended badly: {why}", why=failure.getErrorMessage())
        else:
            self._log.failure("an upload failed", failure)
