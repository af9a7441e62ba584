from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rtb.ops import probe

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def table(directory: Path, name: str, *rows: tuple[str, str]) -> None:
    lines = (
        f"   {index}: 0100007F:1F90 {remote} {state} 00000000:00000000 00:00000000 00000000 0\n"
        for index, (remote, state) in enumerate(rows)
    )
    (directory / name).write_text(HEAD + "".join(lines))


def test_established_connections_to_the_broker_are_counted(tmp_path: Path) -> None:
    table(
        tmp_path,
        "tcp",
        ("0200A8C0:1628", "01"),
        ("0200A8C0:1628", "06"),
        ("0200A8C0:1629", "01"),
    )
    assert probe.broker_links(tmp_path, 5672) == 1
    assert probe.main("broker", {}, tmp_path) == "1 of 2 connections to the broker"
    table(tmp_path, "tcp6", ("0" * 31 + "1:1628", "01"))
    assert probe.main("broker", {}, tmp_path) == ""
    assert probe.main("broker", {"RTB_BROKER_HOST": "rabbit:1"}, tmp_path).startswith("0 of 2")


def test_an_api_that_is_not_there_is_not_well() -> None:
    assert "does not answer" in probe.main("api", {"RTB_API_HOST": "rtb-boa:1"})


def test_the_exit_code_says_it_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rtb.ops.probe", "cat"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cannot tell how 'cat' is: ask for api or broker\n"
