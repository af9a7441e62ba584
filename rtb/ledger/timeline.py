"""A unit's history: what happened to it, and between that what people did to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rtb.model.lifecycle import OUTCOMES
from rtb.model.verbs import Verb

__all__ = ["merged"]

#: How a deed is called in a unit's history. Of the other verbs the units themselves tell.
_KINDS = {Verb.HOLD: "held", Verb.RELEASE: "released", Verb.PRIORITY: "prioritized"}


def merged(
    events: Iterable[dict[str, Any]], deeds: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return *events* with *deeds* at their times between them, in both cases oldest first.

    The order of the events is that of the ledger and stays, whatever their times say. A deed has
    ``at``, ``verb``, ``whole``, ``why`` and ``priority``; one to the whole order concerned a unit
    only while that was open.
    """
    waiting = list(deeds)
    history: list[dict[str, Any]] = []
    last: dict[str, Any] | None = None
    for event in events:
        while waiting and waiting[0]["at"] <= event["at"]:
            history += _told(waiting.pop(0), last)
        history.append(event)
        last = event
    for deed in waiting:
        history += _told(deed, last)
    return history


def _told(deed: dict[str, Any], last: dict[str, Any] | None) -> list[dict[str, Any]]:
    if deed["whole"] and last is not None and last["kind"] in OUTCOMES:
        return []
    told: dict[str, Any] = {
        "at": deed["at"],
        "round": last["round"] if last else 1,
        "attempt": last["attempt"] if last else 0,
        "kind": _KINDS[deed["verb"]],
        "who": "a person",
        "ran": None,
    }
    if deed["why"]:
        told["why"] = deed["why"]
    if deed["verb"] == Verb.PRIORITY:
        told["priority"] = deed["priority"]
    return [told]
