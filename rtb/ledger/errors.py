"""What can go wrong with the ledger, by whose fault it is and whether to try again."""

from __future__ import annotations

from rtb.errors import RtbError

__all__ = [
    "BadDataError",
    "LedgerError",
    "LedgerUnavailableError",
    "RefusedError",
    "SchemaError",
    "TooSlowError",
    "units_pruned",
]


class LedgerError(RtbError):
    """PostgreSQL refused a statement: a defect of rtb, or a permission that is missing."""


class LedgerUnavailableError(LedgerError):
    """PostgreSQL is away, or ended the connection: whether the statement took effect is unknown."""

    retryable = True


class TooSlowError(LedgerUnavailableError):
    """PostgreSQL did not answer in time; the connection was closed."""


class BadDataError(LedgerError):
    """PostgreSQL refused a value (SQLSTATE class 22 or 23): trying it again cannot help."""


class RefusedError(LedgerError):
    """The ledger does not take what was asked for, by a rule of its own; nothing took effect."""

    def __init__(self, why: str, code: str, detail: str = "") -> None:
        super().__init__(why)
        #: SQLSTATE of class RT: "RT" and the HTTP status that it comes to.
        self.code = code
        #: JSON that belongs to it; for RT200 the answer that was given before.
        self.detail = detail


class SchemaError(LedgerError):
    """The tables are not those that this version of rtb knows: run `rtb migrate`."""

    #: A running API migrates by itself, as soon as it meets this.
    retryable = True


def units_pruned(order: int) -> RefusedError:
    """Return what to raise for who asks for units of *order* that went with time."""
    return RefusedError(
        f"the units of order {order} were pruned: only its counts are left, at /orders/{order}",
        "RT410",
    )
