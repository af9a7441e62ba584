"""What a claim brought back: one row for all of its units, then a row for each."""

from __future__ import annotations

import attrs
import msgspec

from rtb.ledger.lane import Rows
from rtb.model.wire import Unit

__all__ = ["Claim", "read_claim"]


class _Claimed(msgspec.Struct):
    """What the first row of a claim says of all its units."""

    ledger: str
    box: str
    leader: str
    boxes: int
    #: Their ids in fair order.
    line: list[int]
    #: account, weight, priority, workload, time limit
    orders: dict[int, tuple[str, float, int, str, float | None]]


@attrs.frozen
class Claim:
    """Attempts opened for a box, in fair order, and the ledger that they are of."""

    ledger: str
    box: str
    #: The incarnation that led the box at that moment.
    leader: str
    #: How many boxes could have been claimed for, and how many units were claimed.
    boxes: int
    count: int
    _head: _Claimed | None
    _rows: Rows

    @property
    def units(self) -> list[Unit]:
        """Return the units; each time anew, and not before somebody asks."""
        if self._head is None:
            return []
        of, null = self._head.orders, msgspec.Raw(b"null")
        units = {
            unit: Unit(
                unit,
                attempt,
                *of[order],
                order,
                name,
                null if payload is None else msgspec.Raw(payload.encode()),
                bump,
            )
            for unit, attempt, order, name, payload, bump in self._rows
        }
        return [units[unit] for unit in self._head.line if unit in units]


def read_claim(rows: Rows) -> Claim:
    """Return the claim that *rows* are; the first row is of what came before it."""
    if len(rows) < 2:
        return Claim("", "", "", 0, 0, None, [])
    head = _claimed.decode(rows[1][4])
    return Claim(head.ledger, head.box, head.leader, head.boxes, len(rows) - 2, head, rows[2:])


_claimed = msgspec.json.Decoder(_Claimed)
