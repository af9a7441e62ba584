"""One connection to PostgreSQL that runs one statement after the other and heals itself.

txpostgres neither reconnects nor bounds a statement, and cancelling one of its Deferreds blocks
the whole reactor when the server is frozen (libpq's PQcancel does blocking input and output). So
a lane races each statement with a timer of its own and closes the connection of one that lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import psycopg2
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.error import ConnectionDone, DNSLookupError
from twisted.logger import Logger
from twisted.python.failure import Failure
from txpostgres import txpostgres

from rtb.ledger.address import dsn
from rtb.ledger.errors import (
    BadDataError,
    LedgerError,
    LedgerUnavailableError,
    RefusedError,
    SchemaError,
    TooSlowError,
)
from rtb.ledger.queries import Query
from rtb.ledger.traffic import TRAFFIC

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from rtb.settings import Database

__all__ = ["Lane", "OnceOpen", "Rows", "only"]

Rows = list[tuple[Any, ...]]
#: A statement and its parameters.
OnceOpen = tuple[str, Mapping[str, object]]

#: How every session of rtb is set up. A prepared statement keeps the plan that it got when its
#: tables were empty or unknown. What rtb runs reads a few rows of big tables by an index; a plan
#: that walks a table is never better.
SESSION = (
    "-c timezone=UTC -c jit=off -c plan_cache_mode=force_generic_plan "
    "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_mergejoin=off"
)
#: Seconds that connecting may take.
_CONNECT_LIMIT = 5.0
#: SQLSTATE classes of values that will never do.
_BAD_DATA = ("22", "23")
_UNDEFINED = ("42P01", "42703", "42883", "42704")


def only(rows: Rows) -> tuple[Any, ...]:
    """Return the one row that there always is, but in a ledger that is only being made.

    :raises LedgerUnavailableError: there is none: its tables are there before its rows
    """
    if not rows:
        raise LedgerUnavailableError("the ledger is being made")
    return rows[0]


class _Cursor(txpostgres.Cursor):
    """A cursor whose statement PostgreSQL may end at its own limit: an error like any other."""

    def _handleCancellation(self, failure: Failure) -> Failure:
        # txpostgres would make it a CancelledError; but nobody here cancels.
        return failure


class _Connection(txpostgres.Connection):
    """A connection that takes its end while idle quietly: its lane looks before it is used."""

    cursorFactory = _Cursor

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor=reactor)
        #: The names of the queries that are prepared on it; None: of some nobody knows.
        self.prepared: set[str] | None = set()

    def continuePolling(self, swallowErrors: bool = False) -> None:
        super().continuePolling(swallowErrors=True)
        self._close_if_lost()

    def cursorFinished(self, cursor: txpostgres.Cursor) -> None:
        self._close_if_lost()
        super().cursorFinished(cursor)

    def _close_if_lost(self) -> None:
        # libpq gives up the socket of a connection that was reset, and psycopg2 does not call that
        # closed. txpostgres would watch descriptor -1: a ValueError, which in place of the answer
        # to a statement says that its values were bad.
        if not self.closed and self.fileno() < 0:
            _shut(self)


class Lane:
    """A connection that is opened when needed, and thrown away when it fails.

    :param reactor: its timers and its name look-ups
    :param database: whom to connect to
    :param op: what it is for, in a word, for metrics
    :param limit: seconds that a statement may take; longer, and the connection is closed
    :param once_open: a statement and its parameters to run on every new connection
    :param tables_gone: told when a table is missing: somebody made the database anew
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        database: Database,
        *,
        op: str,
        limit: float,
        once_open: OnceOpen | None = None,
        tables_gone: Callable[[SchemaError], None] = lambda problem: None,
    ) -> None:
        self._reactor = reactor
        self._database = database
        self._limit = limit
        self._once_open = once_open
        self._tables_gone = tables_gone
        self._lock = DeferredLock()
        self._connection: _Connection | None = None
        self._ended = False
        self._busy = False
        self._took = TRAFFIC.joined(self, op)

    @property
    def state(self) -> str:
        """How its connection is: ``busy``, ``idle`` or ``closed``."""
        if self._connection is None or self._connection.closed:
            return "closed"
        return "busy" if self._busy else "idle"

    async def run(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
    ) -> Rows:
        """Return the rows of *sql*, which runs when those before it are done.

        :raises LedgerUnavailableError: it may or may not have taken effect
        :raises TooSlowError: likewise, for want of an answer in time
        :raises BadDataError: a value was refused; nothing took effect
        :raises LedgerError: the statement was refused; nothing took effect
        """
        return await self._locked(lambda connection: (sql, parameters))

    async def run_prepared(self, *calls: tuple[Query, Mapping[str, object]]) -> Rows:
        """Run *calls* in one round trip and one transaction; return the rows of the last.

        Each query is prepared when its connection meets it first. Errors are those of :meth:`run`.
        """
        return await self._locked(lambda connection: _compose(connection, calls))

    async def _locked(
        self, compose: Callable[[_Connection], tuple[str, Mapping[str, object] | None]]
    ) -> Rows:
        await self._lock.acquire()
        try:
            if self._connection is None or self._connection.closed:
                connection = await self._open()
                if self._ended:
                    _shut(connection)
                    raise LedgerUnavailableError("closed meanwhile")
                self._connection = connection
            connection = self._connection
            prepared = None if connection.prepared is None else len(connection.prepared)
            self._busy, began = True, self._reactor.seconds()
            try:
                return await self._statement(connection, *compose(connection))
            except LedgerError:
                if connection.prepared is not None and len(connection.prepared) != prepared:
                    connection.prepared = None  # was it? The error may have come first
                raise
            finally:
                self._busy = False
                self._took(self._reactor.seconds() - began)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection, for good; a statement that is under way fails."""
        self._ended = True
        connection, self._connection = self._connection, None
        if connection is not None:
            _shut(connection)

    async def _open(self) -> _Connection:
        host = self._database.host
        address = None
        if not host.startswith("/") and ":" not in host:
            try:
                address = await self._reactor.resolve(host, (1, 2))
            except (DNSLookupError, OSError) as problem:
                raise LedgerUnavailableError(
                    f"{host} unknown: set RTB_DB_HOST, for example localhost:5432"
                ) from problem
        connection = _Connection(reactor=self._reactor)
        milliseconds = int(self._limit * 1000)
        options = (
            f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} "
            f"-c idle_in_transaction_session_timeout=10000 {SESSION}"
        )
        try:
            opening = connection.connect(dsn(self._database, address=address, options=options))
            await _race(self._reactor, opening, _CONNECT_LIMIT, lambda: _shut(connection))
            if self._once_open is not None:
                await self._statement(connection, *self._once_open)
        except (psycopg2.Error, TooSlowError) as problem:
            words = " ".join(str(problem).split())
            raise LedgerUnavailableError(
                f"PostgreSQL at {host}:{self._database.port}: {words} (RTB_DB_HOST or "
                "RTB_DATABASE_URL says where it is)"
            ) from problem
        return connection

    async def _statement(
        self,
        connection: _Connection,
        sql: str,
        parameters: Mapping[str, object] | None,
    ) -> Rows:
        try:
            cursor = await _race(
                self._reactor,
                connection.cursor().execute(sql, parameters or None),
                self._limit,
                lambda: _shut(connection),
            )
            rows: Rows = cursor.fetchall() if cursor.description is not None else []
            cursor.close()
        except TooSlowError:
            self._forget(connection)
            raise
        except (ValueError, UnicodeError) as problem:  # NUL or a lone surrogate in a text
            raise BadDataError(str(problem)) from problem
        except ConnectionDone as problem:  # closed by this process, while it stops
            raise LedgerUnavailableError("the connection was closed") from problem
        except psycopg2.Error as problem:
            raise self._judge(connection, problem) from problem
        return rows

    def _judge(self, connection: _Connection, problem: psycopg2.Error) -> LedgerError:
        state = problem.pgcode or ""
        words = " ".join(str(problem).split())
        if state == "57014":  # statement_timeout: the connection is fine
            return TooSlowError(words)
        if state.startswith(_BAD_DATA):
            return BadDataError(words)
        if state.startswith("RT"):  # raised by rtb's own functions
            diag = problem.diag
            return RefusedError(diag.message_primary or words, state, diag.message_detail or "")
        if state in _UNDEFINED:
            gone = SchemaError(f"{words}: run `rtb migrate`")
            self._tables_gone(gone)
            return gone
        if state.startswith(("40", "55P03")):  # deadlock, lock time-out: nothing took effect
            return LedgerUnavailableError(words)
        self._forget(connection)
        if not state or state.startswith(("08", "53", "57", "58")):
            return LedgerUnavailableError(words or "PostgreSQL closed the connection")
        return LedgerError(words)

    def _forget(self, connection: _Connection) -> None:
        if self._connection is connection:
            self._connection = None
        _shut(connection)


def _compose(
    connection: _Connection, calls: tuple[tuple[Query, Mapping[str, object]], ...]
) -> tuple[str, Mapping[str, object]]:
    text: list[str] = []
    values: dict[str, object] = {}
    if connection.prepared is None:
        connection.prepared = set()
        text.append("DEALLOCATE ALL;")
    for query, parameters in calls:
        if query.name not in connection.prepared:
            connection.prepared.add(query.name)
            text.append(query.prepare)
        text.append(query.execute)
        values |= {f"{query.name}_{name}": value for name, value in parameters.items()}
    return "\n".join(text), values


def _shut(connection: _Connection) -> None:
    try:
        connection.close()
    except (psycopg2.Error, AttributeError):  # AttributeError: it never came to a socket
        Lane._log.debug("the connection was closed already")


def _race(reactor: IReactorTime, work: Deferred[Any], limit: float, lost: Any) -> Deferred[Any]:
    """Return what *work* comes to, or fail with TooSlowError after *limit* seconds.

    *work* itself is never cancelled: see the top of this module.
    """
    outcome: Deferred[Any] = Deferred()

    def too_slow() -> None:
        outcome.errback(Failure(TooSlowError(f"no answer within {limit:g} s")))
        lost()

    timer = reactor.callLater(limit, too_slow)

    def ended(result: Any) -> None:
        if timer.active():
            timer.cancel()
            outcome.callback(result)

    work.addBoth(ended)
    return outcome
