"""Loads a streamed order: blocking, on a connection of its own, in a thread of its own.

COPY is several times as fast as anything that goes through a statement's parameters, and
txpostgres cannot do it. The order is ``loading`` until one row makes it visible. Two advisory
locks say that somebody is at it, and end with the connection: the order's, and the key's.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import psycopg2
import psycopg2.errors

from rtb.ledger.address import dsn
from rtb.ledger.errors import (
    BadDataError,
    LedgerError,
    LedgerUnavailableError,
    RefusedError,
    SchemaError,
)
from rtb.ledger.placing import order_values
from rtb.ledger.queries import QUERIES
from rtb.ledger.verbs import LOAD_LOCK
from rtb.model.lines import Fault, Row
from rtb.model.orders import NewOrder

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["Loading"]

_OPTIONS = "-c statement_timeout=30000 -c lock_timeout=30000 -c timezone=UTC -c jit=off"
_SUSPICIOUS = ("\\", "\t", "\n", "\r")
_T = TypeVar("_T")


class Loading:
    """An order whose units come a batch at a time. Every method blocks; one thread at a time.

    :param order: without units
    :param key: the client's, to place it once; None for none
    :param closed: the account must be there already
    """

    def __init__(
        self, database: Database, order: NewOrder, *, key: str | None, closed: bool
    ) -> None:
        self._database = database
        self._values = {**order_values(order), "key": key, "closed": closed}
        self._connection: Any = None
        self._order: int | None = None
        self._units = 0

    def begin(self) -> bool:
        """Open the order; False where its key was used, so that nothing is to be loaded.

        :raises RefusedError: the key is in use at this moment, or there is no such account
        :raises LedgerError: PostgreSQL is away, or refuses
        """
        return self._guarded(self._begin)

    def add(self, rows: Sequence[Row]) -> list[Fault]:
        """Load *rows*; where a name is there already, nothing, but say so of each such line.

        :raises RefusedError: the order was cancelled, or would be more than its account may have
        """
        return self._guarded(lambda: self._add(rows))

    def conclude(self, fingerprint: str, more: dict[str, Any]) -> dict[str, Any]:
        """Make the order visible, in one row; return the answer: its id, and *more*.

        :raises RefusedError: the key was used; with RT200 for the very same
        """
        return self._guarded(lambda: self._conclude(fingerprint, more))

    def discard(self) -> None:
        """Give up what was loaded, if it is not visible yet; never fails."""
        try:
            if self._order is not None:
                self._connection.rollback()
                self._run(QUERIES["discard_order"], {"order": self._order})
                self._connection.commit()
        except psycopg2.Error:
            pass  # its locks are free by now: whoever tidies next finds it
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

    def _guarded(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except (ValueError, UnicodeError) as problem:
            raise BadDataError(str(problem)) from problem
        except psycopg2.Error as problem:
            raise _judged(problem) from problem

    def _run(self, sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def _begin(self) -> bool:
        self._connection = psycopg2.connect(
            dsn(self._database, options=_OPTIONS), connect_timeout=5
        )
        ((free, used),) = self._run(QUERIES["take_key"], self._values)
        if not free:
            raise RefusedError("an order with that key is being placed", "RT409")
        if not used:
            ((order, _),) = self._run(
                QUERIES["begin_loading"], {**self._values, "lock_class": LOAD_LOCK}
            )
            self._connection.commit()
            self._order = order
        return not used

    def _add(self, rows: Sequence[Row]) -> list[Fault]:
        try:
            if not self._run(QUERIES["go_on_loading"], {"order": self._order, "more": self._units}):
                raise RefusedError("the order was cancelled while it loaded", "RT409")
            with self._connection.cursor() as cursor:
                cursor.copy_expert(
                    "COPY units (order_id, name, payload) FROM STDIN", _copied(self._order, rows)
                )
            self._connection.commit()
        except psycopg2.errors.UniqueViolation:
            self._connection.rollback()
            return list(self._twice(rows))
        self._units += len(rows)
        return []

    def _twice(self, rows: Sequence[Row]) -> Iterator[Fault]:
        found = self._run(
            QUERIES["names_there"], {"order": self._order, "names": [name for _, name, _ in rows]}
        )
        self._connection.rollback()
        there = {name: "an earlier line" for (name,) in found}
        for line, name, _ in rows:
            if name in there:
                yield Fault(line, f"{there[name]} has the same name")
            else:
                there[name] = f"line {line}"

    def _conclude(self, fingerprint: str, more: dict[str, Any]) -> dict[str, Any]:
        values = {
            **self._values,
            "order": self._order,
            "fingerprint": fingerprint,
            "more": msgspec.json.encode(more).decode(),
        }
        rows = self._run(QUERIES["conclude_loading"], values)
        self._connection.commit()
        self._order = None
        answer: dict[str, Any] = msgspec.json.decode(rows[0][0])
        return answer


def _copied(order: int | None, rows: Sequence[Row]) -> io.StringIO:
    return io.StringIO(
        "".join(
            f"{order}\t{_escaped(name)}\t{_escaped(payload) if payload is not None else _NULL}\n"
            for _, name, payload in rows
        )
    )


_NULL = r"\N"


def _escaped(text: str) -> str:
    if any(sign in text for sign in _SUSPICIOUS):
        text = text.replace("\\", "\\\\").replace("\t", "\\t")
        text = text.replace("\n", "\\n").replace("\r", "\\r")
    return text


def _judged(problem: psycopg2.Error) -> LedgerError:
    state = problem.pgcode or ""
    words = " ".join(str(problem).split())
    if state.startswith("RT"):
        diag = problem.diag
        return RefusedError(diag.message_primary or words, state, diag.message_detail or "")
    if state.startswith(("22", "23")):
        return BadDataError(words)
    if state in ("42P01", "42703", "42883", "42704"):
        return SchemaError(words)
    if not state or state.startswith(("08", "40", "53", "55", "57", "58")):
        return LedgerUnavailableError(words or "PostgreSQL closed the connection")
    return LedgerError(words)
