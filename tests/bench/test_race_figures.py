"""What the benches reckon and read, without any server."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from race import __main__ as race
from race import agents, long
from race.course import pause
from race.figures import knee, medians, percentile, slot_time_lost, summary, table
from race.installs import PROGRAMS
from race.plot import plot
from race.stage import Progress


def figures(units_s: float, p50: float = 4.0) -> dict[str, Any]:
    return {
        "units": 100,
        "intake_s": 1000.0,
        "units_s": units_s,
        "cpu_ms_per_unit": 0.5,
        "cpu_us_per_unit": {"client": 100.0, "PostgreSQL": 400.0},
        "rss_mb": {"client": 20.0, "PostgreSQL": 90.0},
        "foreign_cores": 0.1,
        "idle_p50_ms": p50,
        "idle_p99_ms": 9.0,
    }


def test_a_median_is_taken_of_each_figure_by_itself() -> None:
    runs = [{"a": a, "by": {"x": x}, "what": "w"} for a, x in ((1, 30), (9, 10), (2, 20))]
    assert medians(runs) == {"a": 2, "by": {"x": 20}, "what": "w"}
    assert medians(runs[:2]) == {"a": 5, "by": {"x": 20}, "what": "w"}


@pytest.mark.parametrize(("share", "found"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_one_of_the_values(share: float, found: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == found


def test_a_percentile_of_few_values_is_their_largest() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_the_summary_divides_medians() -> None:
    found = {
        "rtb": figures(12_000, p50=3.0),
        "pg-boss": figures(8_000, p50=6.0),
        "celery": figures(200),
        "rtb-defaults": figures(900),
        "dramatiq": figures(800),
    }
    said = summary(found, 60_000.0, {"idle_p50_ms": 2.0, "idle_p99_ms": 3.0})
    assert said["vs_pgboss"] == 1.5
    assert said["vs_celery"] == 60
    assert said["vs_celery_defaults"] == 4.5
    assert said["vs_dramatiq"] == 15
    assert said["idle_p50_vs_pgboss"] == 0.5
    assert (said["idle_p50_vs_wire"], said["wire_p50_ms"]) == (1.5, 2.0)
    assert (said["cpu_ms_per_unit"], said["idle_p50_ms"], said["idle_p99_ms"]) == (0.5, 3.0, 9.0)
    assert said["intake_units_s"] == 60_000


def test_what_was_not_measured_is_null() -> None:
    said = summary({"rtb": figures(12_000)}, None)
    assert said["units_s"] == 12_000
    for name in ("vs_pgboss", "vs_celery", "vs_celery_defaults", "intake_units_s", "wire_p50_ms"):
        assert said[name] is None
    assert json.loads(json.dumps(summary({}, None)))["cpu_ms_per_unit"] is None


def test_the_table_shows_every_system_and_process(tmp_path: Path) -> None:
    found = {"rtb": figures(12_000), "celery": figures(200)}
    text = table(found)
    assert "60.00 times" in text
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row]
    assert ["celery", "100", "-", "-", "-", "-", "400", "-"] in rows
    plot(tmp_path / "plot.svg", found)
    drawn = ElementTree.parse(tmp_path / "plot.svg").getroot()
    assert [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")].count("rtb") == 2


def test_slot_time_is_lost_between_units_not_at_the_edges() -> None:
    # Four slots, each unit 1 s and 0.25 s of nothing, and the slots begin apart.
    ends = [begin + number * 1.25 for begin in (0, 0.1, 0.2, 0.3) for number in range(50)]
    assert slot_time_lost(ends, 4, 1.0) == pytest.approx(0.2)


def test_the_knee_is_the_last_that_still_gains() -> None:
    assert knee({1: 9_500, 10: 10_000, 100: 4_000}) == 10
    assert knee({1: 9_000}) == 1


@pytest.mark.parametrize(
    ("left", "done", "seconds", "expected"),
    [
        (1000, 0, 0.0, 0.5),
        (3000, 3000, 1.0, 0.333),
        (300, 3000, 1.0, 0.0333),
        (1, 3000, 1.0, 0.005),
    ],
)
def test_it_looks_more_often_towards_the_end(
    left: int, done: int, seconds: float, expected: float
) -> None:
    assert pause(left, done, seconds) == pytest.approx(expected, abs=1e-3)


def test_the_full_run_is_what_the_targets_speak_of() -> None:
    given = race.options([])
    units = {name: amount.units for name, amount in given.amounts.items()}
    assert units == {
        "rtb": 50_000, "pg-boss": 50_000, "rtb-defaults": 5_000,
        "dramatiq": 5_000, "celery": 5_000, "intake": 1_000_000, "wire": 1,
    }  # fmt: skip
    assert race.SHAPES == {"rtb": (2000, 1000), "rtb-defaults": (50, 8)}
    assert (given.rounds, given.strict, given.plot) == (3, False, Path("docs/performance.svg"))
    seconds = sum(amount.seconds for amount in race.FULL.values())
    assert given.rounds * seconds < 25 * 60


def test_the_quick_run_is_smaller_and_draws_nothing() -> None:
    given = race.options(["--quick"])
    assert given.plot is None
    assert given.rounds * sum(amount.seconds for amount in race.QUICK.values()) < 5 * 60
    assert race.options(["--only", "rtb"]).plot is None
    assert race.options(["--scale", "0.001"]).amounts["celery"].units == 5


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--only", "sidekiq"], ["--rounds", "x"]])
def test_what_cannot_be_used_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        race.options(words)


def test_the_other_benches_have_their_defaults() -> None:
    given = long.options([])
    assert (given.kinds, given.units, given.slots) == (["command", "python"], 10_000, 100)
    with pytest.raises(SystemExit):
        long.options(["--units", "10"])
    assert agents.options([]).most == 100


def test_what_is_left_is_reckoned_with_what_was_taken() -> None:
    now = [0.0]
    progress = Progress(lambda: now[0], ["a", "b", "a", "b"], {"a": 10.0, "b": 20.0})
    progress.begins()
    now[0] = 30.0
    progress.ended("done")
    assert progress.left() == 20 + 30 + 20


def test_all_that_is_installed_is_pinned() -> None:
    for name in ("celery", "dramatiq", "node"):
        for line in (PROGRAMS / f"{name}.txt").read_text().split():
            assert "==" in line, line
    wanted = json.loads((PROGRAMS / "package.json").read_text())["dependencies"]
    locked = json.loads((PROGRAMS / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
