"""Every kind of bad message is refused by whoever reads it, and by nobody taken for newer."""

from __future__ import annotations

from random import Random

import pytest

from rtb.chaos.rubbish import forged, late, rubbish
from rtb.model.wire import WireError, decode


def test_all_kinds_come_in_turn() -> None:
    first = rubbish(Random(1), "ledger", "outbox", 1000)
    kinds = {bad.kind for bad in first}
    assert len(kinds) >= 40
    assert {bad.kind for bad in first[: len(kinds)]} == kinds
    assert rubbish(Random(1), "ledger", "outbox", 1000) == first


KINDS = {bad.kind: bad for bad in rubbish(Random(7), "ledger", "outbox", 200)}


@pytest.mark.parametrize("kind", KINDS)
def test_it_cannot_be_read(kind: str) -> None:
    bad = KINDS[kind]
    if kind.startswith("event "):
        decode(bad.key, bad.body)  # that there is no such unit only the ledger knows
    else:
        with pytest.raises(WireError):
            decode(bad.key, bad.body)


def test_what_is_late_or_forged_can_be_read() -> None:
    words = [*late("ledger", "outbox", 1, 1), *forged(Random(1), "ledger", "outbox", 20)]
    for bad in words:
        decode(bad.key, bad.body)
    assert len(words) > 100
