"""The schema: numbered SQL files, applied in order, each in a transaction of its own, under a lock.

What was applied is remembered with its checksum, so that a file edited afterwards is noticed.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rtb.ledger.errors import SchemaError
from rtb.ledger.lane import Lane
from rtb.ledger.queries import QUERIES
from rtb.model.lifecycle import CLOSING, MOVES

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["migrate", "missing"]

#: Advisory lock that one migrating process holds.
_LOCK = 0x52544201
#: Seconds that a migration, or waiting for another process to finish its own, may take.
_LIMIT = 600.0


async def migrate(reactor: Any, database: Database, *, seed_count: int | None = None) -> list[str]:
    """Bring *database* to this version's schema; return the names of the files applied now.

    Running it again changes nothing. With *seed_count*, an empty ledger gets its backlog of that
    many units.

    :raises SchemaError: a file was edited after it was applied, or a newer rtb was here
    :raises LedgerUnavailableError: PostgreSQL cannot be reached
    """
    lane = Lane(reactor, database, op="migrate", limit=_LIMIT)
    try:
        await lane.run(QUERIES["lock_schema"], {"lock": _LOCK})
        done = []
        for name, text in _missing(dict(await lane.run(QUERIES["applied_migrations"]))):
            note = {"name": name, "sha256": _sum(text)}
            await lane.run(text.replace("%", "%%") + QUERIES["note_migration"], note)
            done.append(name)
        await lane.run(QUERIES["set_up"], {"ledger": secrets.token_hex(12), **_lifecycle()})
        if seed_count is not None:
            await lane.run(QUERIES["seed"], {"count": seed_count})
        await lane.run(QUERIES["unlock_schema"], {"lock": _LOCK})
        return done
    finally:
        lane.close()


async def missing(reactor: Any, database: Database) -> list[tuple[str, str]]:
    """Return the files, by name and text, that :func:`migrate` would apply; change nothing.

    :raises SchemaError: as :func:`migrate`
    :raises LedgerUnavailableError: PostgreSQL cannot be reached
    """
    lane = Lane(reactor, database, op="migrate", limit=_LIMIT)
    try:
        ((known,),) = await lane.run(QUERIES["has_migrations"])
        return _missing(dict(await lane.run(QUERIES["known_migrations"])) if known else {})
    finally:
        lane.close()


def _files() -> Iterator[tuple[str, str]]:
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield file.name, file.read_text("utf-8")


def _missing(applied: dict[str, str]) -> list[tuple[str, str]]:
    missing = []
    for name, text in _files():
        known = applied.pop(name, None)
        if known is None:
            missing.append((name, text))
        elif known != _sum(text):
            raise SchemaError(f"{name} was changed after it was applied: restore it")
    if applied:
        raise SchemaError(f"a newer rtb applied {', '.join(sorted(applied))}: upgrade this one")
    return missing


def _lifecycle() -> Mapping[str, object]:
    return {
        "status": [status for status, _ in MOVES],
        "kind": [kind for _, kind in MOVES],
        "next": list(MOVES.values()),
        "closing": [kind in CLOSING for _, kind in MOVES],
    }


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
