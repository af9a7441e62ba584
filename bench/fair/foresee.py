"""Orders are asked, at half-way, when they will end; and then it is seen when they do."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import Any

from fair.line import Line, order

ORDERS = 24


async def forecast_hit(line: Line, random: Random) -> dict[str, Any]:
    """Return the share of orders that ended inside the range that was stated at half-way."""
    await line.client.go()
    sizes: dict[int, int] = {}
    stated: dict[int, tuple[datetime, datetime]] = {}
    waiting = [
        (f"account-{random.randint(0, 7)}", random.choice((150, 300, 600, 1000)))
        for _ in range(ORDERS)
    ]
    ended: dict[int, datetime] = {}
    while len(ended) < ORDERS:
        if waiting and (len(sizes) < ORDERS // 2 or random.random() < 0.2):
            account, units = waiting.pop()
            placed = await line.client.place(order(account, units))
            sizes[placed["id"]] = units
        for order_id, units in sizes.items():
            if order_id in ended:
                continue
            shown = await line.client.order(order_id)
            settled = units - sum(
                shown["units"][status] for status in ("waiting", "sent", "queued", "processing")
            )
            if shown["finished_at"] is not None:
                ended[order_id] = datetime.fromisoformat(shown["finished_at"])
            elif settled >= units / 2 and order_id not in stated:
                said = await line.client.forecast(order_id)
                if said["ends_between"] is not None:
                    early, late = said["ends_between"]
                    stated[order_id] = datetime.fromisoformat(early), datetime.fromisoformat(late)
        await line.sleep(0.1)
    hits = [early <= ended[order_id] <= late for order_id, (early, late) in stated.items()]
    return {"forecast_hit": round(sum(hits) / ORDERS, 3), "asked": len(stated)}
