"""Messages that no role should ever send: each ends in ``dead``, alone, and changes nothing."""

from __future__ import annotations

import json
from random import Random

__all__ = ["Bad", "rubbish", "stale"]

#: Routing key, and body.
Bad = tuple[str, bytes]
_STATUS = ("processing", "success", "error", "failed", "returned", "lost", "holding")


def rubbish(random: Random, ledger: str, box: str, count: int, *, events: bool = True) -> list[Bad]:
    """Return *count* messages that nobody can use, one dead letter each.

    :param events: whether good messages with events of what there never was are among them
    """
    return [random.choice(_ways(random, ledger, box, number, events)) for number in range(count)]


def stale(ledger: str, box: str, unit: int, attempt: int, count: int) -> list[Bad]:
    """Return *count* good messages that come too late: of a unit that has settled."""
    body = _status(ledger, box, "success", [[unit, attempt, 1.0, {"late": True}]])
    return [("status.success", body)] * count


def _status(ledger: str, box: str, kind: str, units: object) -> bytes:
    return json.dumps(
        {"v": 1, "ledger": ledger, "box": box, "source": "nobody", "kind": kind, "units": units}
    ).encode()


def _ways(random: Random, ledger: str, box: str, number: int, events: bool) -> list[Bad]:
    kind = random.choice(_STATUS)
    key = f"status.{kind}"
    mark = f"rubbish-{number}"
    never: list[Bad] = [
        ("status.success", _status(ledger, box, "success", [[10**9 + number, 1, 1.0, 1]])),
        ("status.failed", _status(ledger, box, "failed", [[1, 10**6 + number, 1.0]])),
    ]
    return (never if events else []) + [
        (key, mark.encode()),
        (key, b""),
        (key, b"\xff\xfe" + mark.encode()),
        (key, b"[" * 5000),
        (key, b"{}"),
        (key, json.dumps({"v": 1, "mark": mark}).encode()),
        (key, json.dumps({"v": "one", "mark": mark}).encode()),
        (key, json.dumps({"v": 0, "mark": mark}).encode()),
        (key, _status(ledger, box, kind, [[-1, 1]])),
        (key, _status(ledger, box, kind, [["one", 1]])),
        (key, _status(ledger, box, kind, [[2**63, 1]])),
        (key, _status(ledger, box, kind, [[1, "two"]])),
        (key, _status(ledger, box, kind, [[1, 2**40]])),
        (key, _status(ledger, box, kind, 7)),
        (key, _status(ledger, box, "sideways", [[1, 1]])),
        ("status.queued", json.dumps({"v": 1, "ledger": ledger, "box": box}).encode()),
        ("status.sideways", mark.encode()),
        ("barrier", json.dumps({"v": 1, "ledger": ledger, "epoch": "soon"}).encode()),
        (f"out.{box}", mark.encode()),
        (f"out.{box}", json.dumps({"v": 1, "ledger": ledger, "box": box, "units": [[1]]}).encode()),
        (f"track.{box}", mark.encode()),
    ]
