from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rtb import failpoint
from rtb.failpoint import LOSSES, POINTS, read
from rtb.settings import Settings


def test_every_point_is_somewhere_in_the_code() -> None:
    root = Path(failpoint.__file__).parent
    code = "".join(
        path.read_text()
        for role in ("api", "leader", "agent")
        for path in (root / role).rglob("*.py")
    )
    assert [point for point in POINTS if f'"{point}"' not in code] == []


def test_off_it_is_nothing() -> None:
    assert Settings.load({}, {}).failpoint == {}
    failpoint.arm({})
    assert failpoint.hit is failpoint._off
    failpoint.hit("a2")


def test_read() -> None:
    assert read("a2:0.2, l3,g1:1") == {"a2": 0.2, "l3": 1.0, "g1": 1.0}
    for bad in ("a99", "a2:2", "a2:x", "A2", "a2:-1"):
        with pytest.raises(ValueError, match="must be POINT:CHANCE"):
            read(bad)


@pytest.mark.parametrize(("chance", "code"), [("1", 137), ("0", 0)])
def test_a_hit_ends_the_process_as_a_kill_would(chance: str, code: int) -> None:
    program = (
        "from rtb import failpoint\n"
        f"failpoint.arm(failpoint.read('a2:{chance}'))\n"
        "failpoint.hit('a1')\n"
        "failpoint.hit('a2')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == code
    assert (b"failpoint a2" in done.stderr) is (code != 0)


def test_a_message_is_lost_once() -> None:
    program = (
        "from rtb import failpoint\n"
        "assert failpoint.loses is failpoint._keeps\n"
        "failpoint.arm(failpoint.read('lost-control'))\n"
        "assert not failpoint.loses('out.box', b'{}')\n"
        "assert failpoint.loses('control.box', b'{}')\n"
        "assert not failpoint.loses('control.box', b'{}')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stderr.splitlines() == [b"failpoint lost-control: a message is lost here"]


def test_every_message_has_a_kind() -> None:
    kinds = {
        failpoint.kind_of(path.name.partition("@")[0].removesuffix(".json"), path.read_bytes())
        for path in (Path(__file__).parent / "wire" / "v1").iterdir()
    }
    assert kinds <= set(LOSSES)
    assert {"lost-out", "lost-control", "lost-barrier", "lost-roll-call", "lost-success"} <= kinds
