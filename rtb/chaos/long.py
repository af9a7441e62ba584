"""One long unit, and everything around it that comes and goes meanwhile."""

from __future__ import annotations

from rtb.chaos.ground import Ground

__all__ = ["outlives"]

#: Parts of the unit's time for which nobody leads its box.
_ABSENCE = 0.2
_BROKER_RESTARTS = 3
#: Seconds beyond its own time that the unit may take to be settled.
_PATIENCE = 60.0


async def outlives(ground: Ground, seconds: float) -> list[str]:
    """Run one unit of *seconds* on *ground*; return what did not hold.

    Meanwhile its leader dies and nobody takes its place for a fifth of that time, the broker is
    killed and started three times, and the API once.
    """
    began = ground.reactor.seconds()

    def say(what: str) -> None:
        ground.say(f"{ground.reactor.seconds() - began:5.0f} s  {what}")

    await ground.client.place({"units": [{"payload": {"seconds": seconds, "end": "success"}}]})
    await ground.until(lambda summary: summary.units.processing == 1)
    say(f"the unit of {seconds:g} s runs")
    (leader,) = ground.system.of_kind("leader")
    leader.retire()
    say("its leader is killed; nobody leads the box")
    await ground.pause(seconds * _ABSENCE)
    leader.start()
    await ground.until(lambda summary: any(x.state == "active" for x in summary.leaders))
    say("another leader leads it")
    for number in range(_BROKER_RESTARTS):
        await ground.sandbox.rabbit.kill()
        await ground.sandbox.rabbit.start_again()
        await ground.pause(seconds / 60)
        say(f"the broker was killed and started, {number + 1} of {_BROKER_RESTARTS}")
    ground.system.slot("api-0").kill()
    say("the API is killed and started")
    await ground.until(lambda summary: summary.units.settled == 1, limit=seconds + _PATIENCE)
    say("the unit is settled")
    return await _problems(ground)


async def _problems(ground: Ground) -> list[str]:
    problems = []
    if (starts := ground.starts()) != [(1, 1)]:
        problems.append(f"it ran as (unit, attempt) {starts}, not once")
    outcomes = await ground.sql(
        "SELECT kind::text, attempt FROM history WHERE kind IN ('success', 'error', 'cancelled')"
    )
    if outcomes != [("success", 1)]:
        problems.append(f"its outcomes are {outcomes}, not one success of attempt 1")
    return problems
