"""PostgreSQL, the ledger: the only truth, and the only package that knows psycopg2."""

from __future__ import annotations

from rtb.ledger.books import Books, BoxState, Forsaken, Verdict
from rtb.ledger.claim import Claim
from rtb.ledger.errors import (
    BadDataError,
    LedgerError,
    LedgerUnavailableError,
    RefusedError,
    SchemaError,
    TooSlowError,
)
from rtb.ledger.loading import Loading
from rtb.ledger.outlook import Outlook
from rtb.ledger.pruning import Due, Gone, Pruning
from rtb.ledger.reads import Page, Reads
from rtb.ledger.reads_page import RUNNING_MOST, Glance, PageReads, Trouble
from rtb.ledger.traffic import TRAFFIC
from rtb.ledger.verbs import Batch, Verbs

__all__ = [
    "RUNNING_MOST",
    "TRAFFIC",
    "BadDataError",
    "Batch",
    "Books",
    "BoxState",
    "Claim",
    "Due",
    "Forsaken",
    "Glance",
    "Gone",
    "LedgerError",
    "LedgerUnavailableError",
    "Loading",
    "Outlook",
    "Page",
    "PageReads",
    "Pruning",
    "Reads",
    "RefusedError",
    "SchemaError",
    "TooSlowError",
    "Trouble",
    "Verbs",
    "Verdict",
]
