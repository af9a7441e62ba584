"""What an order is when it goes to the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from rtb.ledger.arrays import texts
from rtb.ledger.queries import QUERIES, Call

if TYPE_CHECKING:
    from rtb.model.orders import NewOrder

__all__ = ["order_values", "placing"]


def order_values(order: NewOrder) -> dict[str, Any]:
    """Return the columns of *order*, without its units."""
    return {
        "account": order.account,
        "name": order.name or "",
        "workload": order.workload,
        "priority": order.priority,
        "labels": msgspec.json.encode(order.labels).decode(),
        "not_before": order.not_before,
        "max_failures": order.max_failures,
        "time_limit": order.time_limit,
    }


def placing(order: NewOrder, key: str | None, fingerprint: str, closed: bool) -> Call:
    """Return the call that places *order* with all its units; see :meth:`Books.place`."""
    return QUERIES["place"], {
        **order_values(order),
        "key": key,
        "fingerprint": fingerprint,
        "closed": closed,
        "names": texts([unit.name or f"#{i}" for i, unit in enumerate(order.units, 1)]),
        "payloads": texts([_payload(unit.payload) for unit in order.units]),
    }


def _payload(raw: bytes) -> str | None:
    return None if raw == b"null" else raw.decode()
