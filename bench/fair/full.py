"""Is the leader's store full while work waits, and do slots stand idle for want of a unit?"""

from __future__ import annotations

from fair.line import Line, flood

SETTLE = 5.0
WATCH = 12.0


async def tracker_full(line: Line, units: int) -> float:
    """Return the mean fill of the leader's own store, weighted by time, while work waits."""
    await _flood(line, units)
    area = 0.0
    began = last = line.reactor.seconds()
    while last - began < WATCH:
        await line.sleep(0.2)
        status = await line.client.status()
        if not status.units.waiting:
            raise SystemExit(f"{line.name}: nothing waits any more; it is to have more units")
        now = line.reactor.seconds()
        # What the leader said of itself: time-weighted, since its report before.
        area += status.leaders[0].utilization * (now - last)
        last = now
    return area / (last - began)


async def slot_idle(line: Line, units: int, slots: int) -> tuple[float, float]:
    """Return which part of the slots' time no unit ran, and the outcomes per second."""
    await _flood(line, units)
    ((began,),) = line.sql("SELECT now()")
    await line.sleep(WATCH)
    ((ended, ran, count),) = line.sql(
        "SELECT now(), sum(ran), count(*) FROM events "
        "WHERE kind IN ('success', 'error') AND at BETWEEN %s AND now()",
        began,
    )
    seconds = (ended - began).total_seconds()
    return 1 - ran / (slots * seconds), count / seconds


async def _flood(line: Line, units: int) -> None:
    await flood(line, units)
    await line.client.go()
    await line.until(lambda status: status.units.success > 0)
    await line.sleep(SETTLE)
