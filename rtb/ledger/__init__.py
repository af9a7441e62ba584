"""PostgreSQL, the ledger: the only truth, and the only package that knows psycopg2."""

from __future__ import annotations

from rtb.ledger.books import Books, BoxState, Claim, Forsaken, Verdict
from rtb.ledger.errors import (
    BadDataError,
    LedgerError,
    LedgerUnavailableError,
    SchemaError,
    TooSlowError,
)
from rtb.ledger.reads import Page, Reads

__all__ = [
    "BadDataError",
    "Books",
    "BoxState",
    "Claim",
    "Forsaken",
    "LedgerError",
    "LedgerUnavailableError",
    "Page",
    "Reads",
    "SchemaError",
    "TooSlowError",
    "Verdict",
]
