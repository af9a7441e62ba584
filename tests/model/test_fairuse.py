from __future__ import annotations

from collections import Counter
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from rtb.model import fairuse
from rtb.model.fairuse import Claimant

CLAIMANTS = st.lists(
    st.builds(
        Claimant,
        account=st.sampled_from("abcdef"),
        weight=st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 10.0]),
        holds=st.integers(0, 50),
        served=st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda claimant: claimant.account,
)


def exact(claimant: Claimant) -> Fraction:
    return Fraction(claimant.holds + 1) / Fraction(claimant.weight)


def test_nobody_waits() -> None:
    assert fairuse.first([]) is None


@given(CLAIMANTS)
def test_no_place_goes_past_one_who_has_less(claimants: list[Claimant]) -> None:
    chosen = fairuse.first(claimants)
    assert chosen is not None
    assert all(exact(other) >= exact(chosen) for other in claimants)


@given(CLAIMANTS)
def test_among_equals_who_waited_longest_goes_first(claimants: list[Claimant]) -> None:
    chosen = fairuse.first(claimants)
    assert chosen is not None
    equals = [other for other in claimants if exact(other) == exact(chosen)]
    assert chosen.served == min(other.served for other in equals)


@given(CLAIMANTS, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_asked_is_nothing(
    claimants: list[Claimant], random: object
) -> None:
    shuffled = list(claimants)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fairuse.first(shuffled) == fairuse.first(claimants)


@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=5),
    st.integers(0, 60),
)
def test_places_end_up_shared_by_weight(weights: list[float], places: int) -> None:
    claimants = [Claimant(str(i), weight, 0, 0) for i, weight in enumerate(weights)]
    for turn in range(1, places + 1):
        chosen = fairuse.first(claimants)
        assert chosen is not None
        chosen.holds, chosen.served = chosen.holds + 1, turn
    # Weighted max-min: nobody has a place that another, with one more, would still have less by.
    for one in claimants:
        for other in claimants:
            assert Fraction(one.holds) / Fraction(one.weight) <= exact(other)
    assert sum(claimant.holds for claimant in claimants) == places


def test_equals_take_turns() -> None:
    claimants = [Claimant(name, 1.0, 0, 0) for name in "abc"]
    served: list[str] = []
    for turn in range(1, 10):
        chosen = fairuse.first(claimants)
        assert chosen is not None
        chosen.served = turn  # its unit ends before the next place is free
        served.append(chosen.account)
    assert served == list("abcabcabc")
    assert set(Counter(served).values()) == {3}
