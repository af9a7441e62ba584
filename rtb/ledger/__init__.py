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
from rtb.ledger.reads_page import RUNNING_MOST, Glance, PageReads, Trouble

__all__ = [
    "RUNNING_MOST",
    "BadDataError",
    "Books",
    "BoxState",
    "Claim",
    "Forsaken",
    "Glance",
    "LedgerError",
    "LedgerUnavailableError",
    "Page",
    "PageReads",
    "Reads",
    "SchemaError",
    "TooSlowError",
    "Trouble",
    "Verdict",
]
