"""Messages that no role should ever send: each ends in ``dead``, alone, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import attrs

__all__ = ["Bad", "forged", "late", "rubbish"]

_KINDS = ("processing", "success", "error", "failed", "returned", "lost", "holding")
_LARGE = 1_000_000


@attrs.frozen
class Bad:
    """A message that nobody can use."""

    #: What is wrong with it. Of those that begin with "event" the words are right, and what they
    #: speak of never was: a single event of them is in ``dead``, put into words by the API.
    kind: str
    key: str
    body: bytes
    #: Of AMQP: a table with values of any kind, and a content type.
    headers: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    content_type: str | None = None


def rubbish(random: Random, ledger: str, box: str, count: int) -> list[Bad]:
    """Return *count* messages of all kinds in turn, beginning with any; one dead letter each."""
    kinds = len(_ways(random, ledger, box, 0))
    first = random.randrange(kinds)
    return [_ways(random, ledger, box, n)[(first + n) % kinds] for n in range(count)]


def late(ledger: str, box: str, unit: int, attempt: int) -> list[Bad]:
    """Return messages that are well formed and change nothing, and that nobody need look at.

    Late and repeated words of *unit*, which has settled in *attempt*; words of another ledger, as
    they come when a database was restored; barriers of another ledger, and of other epochs.
    """
    said = _status(ledger, box, "success", [[unit, attempt, 1.0, {"late": True}]])
    return [
        *[Bad("late, again and again", "status.success", said)] * 100,
        *(
            Bad(f"late {kind}", f"status.{kind}", _status(ledger, box, kind, [[unit, attempt]]))
            for kind in _KINDS
        ),
        Bad("of another ledger", "status.success", _status("another", box, "success", [[unit, 9]])),
        Bad("a barrier of another ledger", "barrier", _json(ledger="another", epoch=1)),
        Bad("a barrier of the future", "barrier", _json(ledger=ledger, epoch=10**6)),
        Bad("a barrier of the past", "barrier", _json(ledger=ledger, epoch=-7)),
    ]


def forged(random: Random, ledger: str, box: str, bound: int) -> list[Bad]:
    """Return well-formed words of a leader and of an agent that never were.

    The box takes the leader for its own until the real one speaks, and the real one takes the
    agent for one of its own until a unit for it comes back: work is lost, and nothing else.
    """
    nobody = f"{random.getrandbits(96):024x}"
    state = _report(ledger, box, nobody)
    agent: dict[str, object] = {
        "ledger": ledger, "box": box, "agent": nobody, "name": nobody, "host": "nowhere", "pid": 1,
        "presence": "ready", "seq": 1, "session": 1, "leader": "", "heard": 0, "slots": 4,
        "workloads": ["default"], "holding": [],
    }  # fmt: skip
    return [
        Bad("a forged leader", "status.queued", _json(**{**state, "capacity": bound})),
        Bad("a forged agent", f"track.{box}", _json(**agent)),
    ]


def _report(ledger: str, box: str, leader: str) -> dict[str, object]:
    return {
        "ledger": ledger, "box": box, "leader": leader, "number": 1, "capacity": 5, "queued": 0,
        "utilization": 0.0, "slots": 1, "busy": 0, "workloads": ["default"], "units": [],
    }  # fmt: skip


def _json(**what: object) -> bytes:
    return json.dumps({"v": 1, **what}).encode()


def _status(ledger: str, box: str, kind: str, units: object, **more: object) -> bytes:
    what: dict[str, object] = {"ledger": ledger, "box": box, "source": "nobody", "kind": kind}
    return _json(**{**what, "units": units, **more})


def _ways(random: Random, ledger: str, box: str, number: int) -> list[Bad]:
    kind = random.choice(_KINDS)
    key = f"status.{kind}"
    mark = f"rubbish-{number}"

    def status(units: object, **more: object) -> bytes:
        return _status(ledger, box, kind, units, mark=mark, **more)

    def reported(**more: object) -> bytes:
        return _json(**{**_report(ledger, box, mark), **more})

    agent = {
        "agent": mark, "name": mark, "host": "nowhere", "presence": "ready", "slots": 1, "busy": 0,
        "workloads": [], "silent": 0.0,
    }  # fmt: skip
    return [
        Bad("not JSON", key, mark.encode()),
        Bad("empty", key, b""),
        Bad("not UTF-8", key, b"\xff\xfe" + mark.encode()),
        Bad("a byte order mark", key, b"\xef\xbb\xbf" + status([[1, 1]])),
        Bad("cut off", key, status([[1, 1]])[:-9]),
        Bad("two at once", key, status([[1, 1]]) * 2),
        Bad("large", key, mark.encode() + b" " * _LARGE),
        Bad("deep", key, b"[" * 5000 + mark.encode()),
        Bad("not a number", key, b'{"v": NaN, "mark": "' + mark.encode() + b'"}'),
        Bad("a number too large", key, b'{"v": 1e999, "mark": "' + mark.encode() + b'"}'),
        Bad("a list", key, json.dumps([mark]).encode()),
        Bad("null", key, b"null"),
        Bad("no fields", key, b"{}"),
        Bad("missing fields", key, _json(mark=mark)),
        Bad("a version of text", key, _json(v="one", mark=mark)),
        Bad("version 0", key, _json(v=0, mark=mark, ledger=ledger)),
        Bad("version -1", key, status([[1, 1]], v=-1)),
        Bad("no version", key, json.dumps({"mark": mark, "ledger": ledger}).encode()),
        Bad("unit -1", key, status([[-1, 1]])),
        Bad("unit 0", key, status([[0, 1]])),
        Bad("unit of text", key, status([["one", 1]])),
        Bad("unit 2^63", key, status([[2**63, 1]])),
        Bad("unit 1.5", key, status([[1.5, 1]])),
        Bad("attempt -1", key, status([[1, -1]])),
        Bad("attempt 0", key, status([[1, 0]])),
        Bad("attempt of text", key, status([[1, "two"]])),
        Bad("attempt 2^40", key, status([[1, 2**40]])),
        Bad("no attempt", key, status([[1]])),
        Bad("units no list", key, status(7)),
        Bad("an unknown kind", key, _status(ledger, box, "sideways", [[1, 1]], mark=mark)),
        Bad("an unknown status", "status.sideways", mark.encode()),
        Bad("another kind than its key", "status.success", _status(ledger, box, "error", [[1, 1]])),
        Bad("NUL", key, status([[1, 1]], source="no\x00body")),
        Bad("a report with missing fields", "status.queued", _json(ledger=ledger, box=box)),
        Bad("a report of a bad box", "status.queued", reported(box="../" + mark)),
        Bad("a report of a negative count", "status.queued", reported(queued=-1)),
        Bad("a report of an impossible count", "status.queued", reported(capacity=2**40)),
        Bad("a report of a leader with a long name", "status.queued",
            reported(leader=mark + f"{random.getrandbits(40_000):x}")),
        Bad("a report with an agent twice", "status.queued",
            reported(full=True, agents=[agent, agent])),
        Bad("an epoch of text", "barrier", _json(ledger=ledger, epoch="soon", mark=mark)),
        Bad("an epoch 2^63", "barrier", _json(ledger=ledger, epoch=2**63, mark=mark)),
        Bad("no epoch", "barrier", _json(ledger=ledger, mark=mark)),
        Bad("units for a box, not JSON", f"out.{box}", mark.encode()),
        Bad("units for a box, cut", f"out.{box}", _json(ledger=ledger, box=box, units=[[1]])),
        Bad("a state of an agent, not JSON", f"track.{box}", mark.encode()),
        Bad("headers of every type", key, mark.encode(),
            {"x-rtb-key": 7, "x-strange": ["x", {"count": -1}], "x-rtb-reason": {"a": None}}),
        Bad("another content type", key, mark.encode(), content_type="application/x-python-pickle"),
        Bad("event of an unknown unit", "status.success",
            _status(ledger, box, "success", [[10**9 + number, 1, 1.0, 1]])),
        Bad("event of an attempt of the future", "status.failed",
            _status(ledger, box, "failed", [[1, 10**6 + number, 1.0]])),
    ]  # fmt: skip
