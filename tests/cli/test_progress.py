"""How long work goes."""

from __future__ import annotations

import pytest

from rtb.cli.progress import Bar, in_time


def test_a_line_now_and_then_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    now = [50.0]
    bar = Bar("intake", 1000, seconds=lambda: now[0])
    for done in (10, 100, 250):
        now[0] += 1.5
        bar.to(done)
    bar.end()
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("intake  ██······················  10 %  eta 0:00:27  100/1,000 units")


def test_what_nobody_knows_has_no_eta() -> None:
    now = [0.0]
    bar = Bar("intake", None, "MB", seconds=lambda: now[0])
    now[0] = 4.0
    bar.add(8)
    assert bar.line() == "intake  8 MB  2/s  0:00:04"


def test_time_is_written_as_people_do() -> None:
    assert [in_time(seconds) for seconds in (-1, 59.6, 3725)] == ["0:00:00", "0:01:00", "1:02:05"]
