"""The small rules: pace, fill, retry, names."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtb.model.fill import Fill
from rtb.model.names import (
    BadNameError,
    check_account,
    check_box,
    check_workload,
    new_incarnation,
)
from rtb.model.pace import Pace
from rtb.model.retry import BACKOFF, MAX_FAILURES, MAX_LOSSES, jitter

EPOCHS = st.floats(0.2, 3600)
RESCUE = 3  # epochs
_ROUNDED = 1 + 1e-9


@given(EPOCHS)
def test_who_lives_is_heard_several_times_before_an_epoch_ends(epoch: float) -> None:
    pace = Pace(epoch)
    for rhythm in (pace.roll, pace.track, pace.full_report):
        assert 0 < rhythm < epoch / 2 * _ROUNDED


@given(EPOCHS)
def test_one_lost_sign_of_life_is_no_silence(epoch: float) -> None:
    pace = Pace(epoch)
    assert 2 * pace.roll < pace.leaderless
    assert 2 * pace.track < pace.silent * _ROUNDED


@given(EPOCHS)
def test_only_real_silence_lasts_until_a_rescue(epoch: float) -> None:
    pace = Pace(epoch)
    # The leader's last word, the agent noticing it, and the agent's own first word.
    assert pace.roll + pace.leaderless + pace.track < RESCUE * epoch
    assert pace.silent + pace.full_report < RESCUE * epoch


@given(EPOCHS, EPOCHS)
def test_a_shorter_epoch_makes_nothing_slower(one: float, other: float) -> None:
    short, long = Pace(min(one, other)), Pace(max(one, other))
    for name in ("roll", "leaderless", "track", "silent", "full_report"):
        assert getattr(short, name) <= getattr(long, name)


@given(st.floats(10, 3600))
def test_a_long_epoch_slows_no_beat(epoch: float) -> None:
    pace, full = Pace(epoch), Pace(10)
    for name in ("roll", "leaderless", "track", "silent"):
        assert getattr(pace, name) == getattr(full, name)


STEPS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 50)), max_size=20)


@given(STEPS, st.integers(0, 50))
def test_fill_is_the_mean_over_time(steps: list[tuple[float, int]], last: int) -> None:
    fill, now, area, level = Fill(100.0), 100.0, 0.0, 0.0
    for new, seconds in steps:
        fill.set(new, now)
        level = new
        area += level * seconds
        now += seconds
    area, now = area + level * last, now + last
    span = now - 100.0
    assert fill.read(now) == pytest.approx(area / span if span else level)
    # A reading begins anew, at the level that it has.
    assert fill.read(now + 7) == pytest.approx(level)


@given(STEPS)
def test_fill_stays_between_the_levels(steps: list[tuple[float, int]]) -> None:
    fill, now = Fill(0.0), 0.0
    for level, seconds in steps:
        fill.set(level, now)
        now += seconds
    assert -1e-9 <= fill.read(now) <= max([0.0, *(level for level, _ in steps)]) + 1e-9


def test_fill_without_time_is_the_level() -> None:
    fill = Fill(5.0)
    fill.set(0.25, 5.0)
    assert fill.read(5.0) == 0.25


@given(st.floats(0, 1))
def test_jitter_spreads_over_half_to_one_and_a_half(fraction: float) -> None:
    assert 0.5 <= jitter(fraction) <= 1.5


def test_the_limits_of_trying_again() -> None:
    assert list(BACKOFF) == sorted(BACKOFF)
    assert (MAX_FAILURES, MAX_LOSSES, BACKOFF[0]) == (3, 3, 1.0)


GOOD = ["a", "outbox", "a-1", "box--2", "z" + "9" * 62]
BAD = [
    "",
    "A",
    "1a",
    "-a",
    "a_b",
    "a.b",
    "a b",
    "a#",
    "ä",
    "a\n",
    "a" * 64,
    "a\x00",
    "*",
]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("check", [check_box, check_workload])
def test_labels_that_will_do(check: object, name: str) -> None:
    assert check(name) == name  # type: ignore[operator]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("check", [check_box, check_workload])
def test_labels_that_will_not_do(check: object, name: str) -> None:
    with pytest.raises(BadNameError, match="a-z, 0-9"):
        check(name)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["inbox", "dead", "track"])
def test_a_box_may_not_be_called_like_a_queue_of_ours(name: str) -> None:
    with pytest.raises(BadNameError, match="none of inbox, dead, track"):
        check_box(name)
    assert check_workload(name) == name


@pytest.mark.parametrize("name", ["a", "Ada Lovelace", "ада", "a" * 200, "a.b@c/d"])
def test_accounts_that_will_do(name: str) -> None:
    assert check_account(name) == name


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\x00b", "a" * 201, "\u200b", "\ud800"])
def test_accounts_that_will_not_do(name: str) -> None:
    with pytest.raises(BadNameError, match="1 to 200"):
        check_account(name)


def test_a_refusal_does_not_repeat_a_long_name() -> None:
    for check in (check_box, check_account):
        with pytest.raises(BadNameError) as caught:
            check("A" * 5000)
        assert len(str(caught.value)) < 300


def test_incarnations_are_24_hex_digits() -> None:
    counter = itertools.count()
    assert new_incarnation(lambda n: bytes([next(counter)] * n)) == "00" * 12
    assert new_incarnation(lambda n: bytes([next(counter)] * n)) == "01" * 12
