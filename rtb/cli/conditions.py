"""When ``rtb watch`` ends: conditions such as ``all,done,0`` and ``any,error,3``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

__all__ = ["USUAL", "Condition", "read", "verdict"]

_STATUSES = ("waiting", "queued", "processing", "success", "error", "cancelled", "done")
_HOW = ("all", "any", "none")


@attrs.frozen
class Condition:
    """Ends with *code* when all, any or none of the units are in *status*."""

    how: str
    status: str
    code: int

    def holds(self, units: Mapping[str, int]) -> bool:
        """Say whether it does for the counts *units*."""
        here, total = _count(units, self.status), units["total"]
        if self.how == "all":
            return here == total
        return here > 0 if self.how == "any" else here == 0


def _count(units: Mapping[str, int], status: str) -> int:
    match status:
        case "done":
            return units["success"] + units["error"] + units["cancelled"]
        case "queued":
            return units["sent"] + units["queued"]
    return units[status]


def read(text: str) -> Condition:
    """Return the condition that *text* is.

    :raises ValueError: it is none
    """
    how, _, rest = text.partition(",")
    status, _, code = rest.partition(",")
    if how not in _HOW or status not in _STATUSES or not (code or "0").isdecimal():
        raise ValueError(
            f"{text!r}: write {'|'.join(_HOW)},STATUS[,CODE], where STATUS is one of "
            f"{', '.join(_STATUSES)}; for example all,success,0"
        )
    if int(code or 0) > 125:
        raise ValueError(f"{text!r}: a code is at most 125")
    return Condition(how, status, int(code or 0))


#: Without conditions: at the end, and its code says whether all went well.
USUAL = (Condition("all", "success", 0), Condition("all", "done", 3))


def verdict(conditions: Sequence[Condition], units: Mapping[str, int]) -> int | None:
    """Return the code of the first of *conditions* that holds; None where none does."""
    return next((one.code for one in conditions if one.holds(units)), None)
