"""Why orders and units wait, when they go, and who has which share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs

from rtb.ledger.errors import SchemaError
from rtb.ledger.lane import Lane, only
from rtb.ledger.queries import QUERIES
from rtb.model.outlook import (
    SENTENCES,
    Code,
    Forecast,
    Line,
    Rival,
    Scene,
    due,
    forecast,
    reason,
    reasons,
)

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["Outlook"]

_LIMIT = 2.0
#: Nobody waits for more exact a place than this inside an order.
_COUNTED = 10_000


class Outlook:
    """Reads the ledger and runs the rule forward; on a connection of its own."""

    def __init__(
        self,
        reactor: Any,
        database: Database,
        tables_gone: Callable[[SchemaError], None] = lambda problem: None,
    ) -> None:
        self._lane = Lane(reactor, database, op="forecast", limit=_LIMIT, tables_gone=tables_gone)

    def close(self) -> None:
        """Close the connection."""
        self._lane.close()

    async def order(self, order: int) -> dict[str, Any] | None:
        """Return what is expected of *order*; None if there is none."""
        found = await self._line(order)
        if found is None:
            return None
        scene, kinds, line = found
        expected = forecast(await self._rivals(kinds), scene, line)
        return {"order": order, **_shown(expected)}

    async def units(self, order: int, units: Sequence[int]) -> dict[int, dict[str, str]]:
        """Return why those of *units* wait that do; all are of *order*. One look for all."""
        rows = await self._lane.run(
            QUERIES["places_of_units"], {"order": order, "units": list(units), "most": _COUNTED}
        )
        found = await self._line(order) if rows else None
        if found is None:
            return {}
        scene, kinds, line = found
        lines = {
            unit: attrs.evolve(
                line,
                code=line.code or (Code.HELD if held else None),
                delay=max(delay or 0.0, line.delay),
                ahead=line.ahead + earlier,
                ready=int(ready),
                delayed=int(not ready),
            )
            for unit, held, delay, ready, earlier in rows
        }
        codes = reasons(await self._rivals(kinds), scene, list(lines.values()))
        return {
            unit: {"code": code, "why": SENTENCES[code]}
            for unit, code in zip(lines, codes, strict=True)
        }

    async def codes(self, ranked: list[tuple[str, int]]) -> list[dict[str, str]]:
        """Return why each of those waits that are first in line: (workload, places before it)."""
        scenes = {kind: (await self._scene(kind))[0] for kind in {kind for kind, _ in ranked}}
        lines = []
        for kind, rank in ranked:
            code = reason(scenes[kind], Line(account=0, ready=1), rank)
            lines.append(Code.WINDOW if code is Code.SHARE else code)
        return [{"code": code, "why": SENTENCES[code]} for code in lines]

    async def fair(self) -> list[dict[str, Any]]:
        """Return what each account has and what is due to it, the busiest first."""
        rows = await self._lane.run(QUERIES["fair"])
        rivals = [
            Rival(account, weight, flying, ready)
            for account, _, weight, _, _, flying, ready, _ in rows
        ]
        places = sum(rival.flying for rival in rivals)
        shares = due(rivals, places)
        return [
            {
                "account": name,
                "weight": weight,
                "cap": cap,
                "waiting": waiting,
                "in_flight": flying,
                "share_held": round(flying / places, 4) if places else 0.0,
                "share_due": round(shares[account], 4),
                "last_served": _time(served_at),
            }
            for account, name, weight, cap, waiting, flying, _, served_at in rows
        ]

    async def _line(self, order: int) -> tuple[Scene, list[str], Line] | None:
        known = await self._lane.run(QUERIES["workload_of_order"], {"order": order})
        if not known:
            return None
        scene, kinds = await self._scene(known[0][0])
        rows = await self._lane.run(
            QUERIES["line_of_order"], {"order": order, "kinds": kinds or [known[0][0]]}
        )
        if not rows:
            return None
        account, _, state, held, delay, ready, delayed, flying, ahead = rows[0]
        waits = bool(ready or delayed)  # a hold means nothing to an order that is over
        code = Code.HELD if held and waits else _STATES.get(state)
        if code is None and delay is not None and waits:
            code = Code.NOT_BEFORE
        line = Line(
            account=account,
            code=code,
            delay=delay or 0.0,
            ahead=ahead,
            ready=ready or 0,
            delayed=delayed or 0,
            flying=flying or 0,
        )
        return scene, kinds, line

    async def _scene(self, workload: str) -> tuple[Scene, list[str]]:
        *how, kinds = only(await self._lane.run(QUERIES["scene"], {"workload": workload}))
        going, leaders, offering, slots, room, rate, processing = how
        scene = Scene(
            going=going,
            leaders=leaders,
            offering=offering,
            slots=slots,
            room=room,
            rate=rate,
            processing=processing,
        )
        return scene, kinds

    async def _rivals(self, kinds: list[str]) -> list[Rival]:
        return [Rival(*row) for row in await self._lane.run(QUERIES["rivals"], {"kinds": kinds})]


_STATES = {"loading": Code.LOADING, "cancelling": Code.CANCELLING}


def _shown(expected: Forecast) -> dict[str, Any]:
    now = datetime.now(UTC)

    def at(seconds: float | None) -> str | None:
        return None if seconds is None else _time(now + timedelta(seconds=min(seconds, 1e9)))

    return {
        "code": expected.code,
        "why": expected.why,
        "rank": expected.rank,
        "starts_at": at(expected.start),
        "ends_at": at(expected.finish),
        "ends_in": None if expected.finish is None else round(expected.finish, 3),
        "ends_between": (
            None if expected.earliest is None else [at(expected.earliest), at(expected.latest)]
        ),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None
