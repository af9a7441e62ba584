"""The order of the kills of ``rtb chaos yarn``."""

from __future__ import annotations

from random import Random

from rtb.chaos.yarn.storm import KINDS, order


def test_everything_is_killed_in_an_order_that_the_seed_gives() -> None:
    kinds = order(Random(7), 30)
    assert kinds == order(Random(7), 30)
    assert kinds != order(Random(8), 30)
    assert {kind: kinds.count(kind) for kind in KINDS} == {
        "agent": 10, "leader": 5, "ResourceManager": 5, "ApplicationMaster": 5, "NodeManager": 5,
    }  # fmt: skip
