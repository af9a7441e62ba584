"""Waits grow from a tenth of a second to three seconds, and jitter only shortens them."""

from __future__ import annotations

from rtb.broker.backoff import Backoff


def test_it_grows_up_to_three_seconds_and_starts_again() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [round(backoff.delay(), 1) for _ in range(11)]
    assert waits == [0.1, 0.2, 0.2, 0.3, 0.5, 0.8, 1.1, 1.7, 2.6, 3.0, 3.0]
    backoff.reset()
    assert round(backoff.delay(), 1) == 0.1


def test_jitter_takes_up_to_half() -> None:
    assert Backoff(lambda: 0.0).delay() == 0.05
