"""How busy each agent was in each of the last 60 seconds. Pure."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["LANE_SECONDS", "Lanes"]

LANE_SECONDS = 60
#: What no sample was taken of.
_UNKNOWN = "."


class Lanes:
    """A string for each agent, a character for each second: 0 idle to 9 all slots busy.

    An ``x`` stands for a second in which a unit of it came to an error. Seen is what the ledger
    shows at each look, and it holds until the next one.
    """

    def __init__(self) -> None:
        self._second = 0
        self._busy: dict[str, str] = {}
        self._levels: dict[str, int] = {}

    def look(self, at: float, levels: Mapping[str, float], erred: frozenset[str]) -> None:
        """Take note that the agents are busy by *levels*, from 0 to 1, and who *erred*."""
        self._advance(int(at))
        self._levels = {agent: round(9 * min(1.0, level)) for agent, level in levels.items()}
        self._busy = {agent: self._lane(agent) for agent in levels}
        for agent in levels:
            lane = self._busy[agent]
            mark = "x" if agent in erred or lane[-1] == "x" else self._mark(agent, lane[-1])
            self._busy[agent] = lane[:-1] + mark

    def read(self, at: float) -> dict[str, str]:
        """Return each agent's lane up to second *at*."""
        self._advance(int(at))
        return dict(self._busy)

    def _mark(self, agent: str, seen: str) -> str:
        level = str(self._levels[agent])
        return max(level, seen) if seen.isdigit() else level

    def _lane(self, agent: str) -> str:
        return self._busy.get(agent, _UNKNOWN * LANE_SECONDS)

    def _advance(self, second: int) -> None:
        passed = min(max(second - self._second, 0), LANE_SECONDS)
        self._second = max(second, self._second)
        if passed:
            for agent, lane in self._busy.items():
                now = str(self._levels.get(agent, 0))
                self._busy[agent] = (lane + now * passed)[-LANE_SECONDS:]
