"""How many agents: never too few, never a fall for a lull, and what that wastes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtb.model.scale import Load, Range, Scale, need

QUIET = 30.0
_histories = st.lists(
    st.tuples(st.floats(0.01, 50.0), st.integers(0, 500), st.integers(0, 100)), min_size=1
)


@pytest.mark.parametrize(
    ("backlog", "in_flight", "agents"), [(0, 0, 0), (1, 0, 1), (0, 2, 1), (2, 1, 2), (100, 4, 52)]
)
def test_what_is_needed(backlog: int, in_flight: int, agents: int) -> None:
    assert need(Load(backlog, in_flight), 2) == agents


@given(_histories, st.integers(0, 5), st.integers(0, 100), st.integers(1, 16))
def test_never_fewer_than_needed_nor_more_than_was_needed_lately(
    history: list[tuple[float, int, int]], least: int, more: int, slots: int
) -> None:
    bounds = Range(least, least + more)
    scale = Scale(bounds, slots, QUIET)
    now = 0.0
    spans: list[tuple[float, float, int]] = []  # (from, until, needed)
    for step, backlog, in_flight in history:
        if spans:
            spans[-1] = (spans[-1][0], now + step, spans[-1][2])
        now += step
        needed = bounds.clamp(need(Load(backlog, in_flight), slots))
        spans.append((now, now, needed))
        wanted = scale.wanted(Load(backlog, in_flight), now)
        assert bounds.least <= wanted <= bounds.most
        assert wanted == max(n for _, until, n in spans if until > now - QUIET)


@given(_histories)
def test_a_fall_is_not_taken_back_within_the_quiet_time_by_what_was_before(
    history: list[tuple[float, int, int]],
) -> None:
    scale = Scale(Range(0, 10_000), 4, QUIET)
    now, needs, before = 0.0, [], 0
    for step, backlog, in_flight in history:
        now += step
        load = Load(backlog, in_flight)
        wanted = scale.wanted(load, now)
        if wanted < before:
            recent = [n for at, n in needs if at > now - QUIET]
            assert all(n <= wanted for n in recent)
        needs.append((now, need(load, 4)))
        before = wanted


def test_a_load_that_comes_and_goes_changes_nothing() -> None:
    scale = Scale(Range(0, 8), 2, QUIET)
    seen = {
        scale.wanted(Load(16 if second % 20 < 2 else 0, 0), float(second)) for second in range(600)
    }
    assert seen == {8}


def test_it_goes_to_nothing_after_the_quiet_time_and_not_before() -> None:
    scale = Scale(Range(0, 8), 2, QUIET)
    assert scale.wanted(Load(16, 0), 0.0) == 8
    assert scale.wanted(Load(0, 1), 100.0) == 8
    assert scale.wanted(Load(0, 0), 110.0) == 8
    assert scale.wanted(Load(0, 0), 129.9) == 8
    assert scale.wanted(Load(0, 0), 130.0) == 1
    assert scale.wanted(Load(0, 0), 140.0) == 0


def wasted(quiet: float, gap: float) -> tuple[float, int]:
    """Return the share of slot time that nobody used in an hour of bursts, and how many starts.

    A burst is 320 units of 0.2 s, every *gap* seconds or so, on at most 8 agents of 2 slots.
    """
    random = Random(8)
    scale = Scale(Range(0, 8), 2, quiet)
    have = waiting = paid = used = 0.0
    starts, next_burst, now, tick = 0, 0.0, 0.0, 0.1
    while now < 3600:
        if now >= next_burst:
            waiting += 320
            next_burst = now + random.uniform(0.5, 1.5) * gap
        wanted = scale.wanted(Load(-int(-waiting // 1), 0), now)
        starts += max(0, wanted - int(have))
        have = wanted
        done = min(waiting, have * 2 * tick / 0.2)
        waiting -= done
        used += done * 0.2
        paid += have * 2 * tick
        now += tick
    return 1 - used / paid, starts


def test_what_it_wastes() -> None:
    """The figures of docs/yarn.md: a longer quiet time spends slots to save starts."""
    for gap in (20, 60, 300):
        short, many = wasted(5.0, gap)
        usual, some = wasted(30.0, gap)
        assert short < usual < 0.95
        assert many >= some
    assert wasted(30.0, 20)[1] == 8, "bursts closer than the quiet time start nobody again"
