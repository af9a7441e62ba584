"""What ``rtb dev`` shows."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from rtb.cli.screen import LiveProgress, PlainProgress, in_words, next_steps, table
from rtb.client import Summary, Units
from rtb.model.orders import read_order


def summary(**counts: int) -> Summary:
    names = ("waiting", "sent", "queued", "processing", "success", "error", "cancelled")
    units = {name: counts.get(name, 0) for name in names}
    return Summary(Units(**units, total=sum(units.values())), going=True, leaders=[])


def test_only_counts_that_are_there_are_shown() -> None:
    assert in_words(summary(waiting=3, success=1).units) == "waiting 3  success 1"
    assert in_words(summary().units) == "no units"


def test_columns_line_up() -> None:
    assert table([("a", "x"), ("long", "y")]) == "  a     x\n  long  y"


def test_plain_lines_come_when_something_changed_and_every_2_s_at_most(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [100.0]
    line = PlainProgress(lambda: now[0])
    for waiting, then in ((9, 0.0), (9, 0.5), (8, 0.5), (7, 1.1), (7, 5.0), (6, 0.1), (5, 0.1)):
        now[0] += then
        line.show(summary(waiting=waiting, success=9 - waiting), "")
    line.end()
    line.end()
    shown = capsys.readouterr().err.splitlines()
    assert [row.split()[2:4] for row in shown] == [
        ["waiting", "9"],
        ["waiting", "7"],
        ["waiting", "6"],
        ["waiting", "5"],
    ]


def test_the_hint_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    PlainProgress(lambda: 0.0).show(summary(waiting=1), "waiting for: somebody")
    assert capsys.readouterr().err == "0/1 done  waiting 1  waiting for: somebody\n"


def test_the_line_of_a_terminal_ends_with_the_last_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = LiveProgress()
    line.show(summary(waiting=1, success=1), "")
    line.show(summary(success=2), "")
    line.end()
    assert "2/2 done  success 2" in capsys.readouterr().err


def test_the_order_to_paste_is_one_that_the_api_takes() -> None:
    command = re.search(r"^  (curl .*/orders)$", next_steps("http://here:1"), re.MULTILINE)
    assert command is not None
    words = shlex.split(command[1])
    order = read_order(words[words.index("-d") + 1].encode())
    assert [unit.name for unit in order.units] == ["scene-1", "scene-2"]
    assert json.loads(words[words.index("-d") + 1])["account"] == order.account
