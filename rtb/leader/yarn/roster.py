"""Who is in which container, and who is on the way out.

Identity is the container; an instance name passes on to a replacement, also while its predecessor
may still live. So names only serve to say what to drop, and to keep work from a replacement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rtb.leader.yarn.answers import Component, Container
from rtb.model.wire import Track

__all__ = ["Roster"]

_INSTANCE = re.compile(r"[a-z][a-z0-9-]*-[0-9]+\Z")


class Roster:
    """The containers of one service, as last seen, beside the agents that said hello from them."""

    def __init__(self) -> None:
        self._service = ""
        self._living: dict[str, Container] = {}
        self._hailed: dict[str, Track] = {}
        self._told: set[str] = set()
        self._told_names: set[str] = set()
        self._gone: dict[str, str] = {}
        #: Ended as far as the service goes; whether the process did is not known yet.
        self.unproved: dict[str, Container] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    # ---- from agents

    def hailed(self, track: Track) -> None:
        """An agent said its state."""
        self._hailed[track.container] = track

    def told(self, track: Track) -> None:
        """An agent was told to leave: neither it nor a replacement counts any more."""
        self._told.add(track.container)
        self._told_names.add(track.name)

    def gone(self, track: Track) -> bool:
        """An agent said that it is gone; return whether that is news."""
        if track.container in self._gone:
            return False
        known = self._living.get(track.container)
        name = known.component_instance_name if known is not None else track.name
        self._hailed.pop(track.container, None)
        self._told.add(track.container)
        self._gone[track.container] = name if _INSTANCE.match(name) else ""
        return True

    def bars(self, track: Track) -> bool:
        """Is its place on the way out?"""
        return track.container in self._told or track.name in self._told_names

    # ---- from YARN

    def compare(self, service: str, agents: Component) -> None:
        """Take in what the service's containers are now."""
        if service != self._service:
            # Another application of that name counts its instances from 0 again.
            self.clear()
            self._service = service
        shown = {container.id: container for container in agents.containers}
        named = {c.component_instance_name: c.id for c in agents.containers}
        for id_, container in list(self._living.items()):
            now = shown.get(id_)
            if now is not None and now.lives:
                continue
            name = container.component_instance_name
            replaced = named.get(name, id_) != id_ or name in agents.decommissioned_instances
            # Not shown is no news: a new ApplicationMaster gets to know its containers by and by.
            if now is not None or replaced:
                self.unproved[id_] = self._living.pop(id_)
        for id_, container in shown.items():
            if container.lives:
                self._living[id_] = container

    def ended(self, container: str) -> None:
        """What became of *container* is known, or nobody will know."""
        self.unproved.pop(container, None)
        self._hailed.pop(container, None)

    # ---- what follows

    @property
    def to_drop(self) -> frozenset[str]:
        """Instances whose agents are gone."""
        return frozenset(name for name in self._gone.values() if name)

    @property
    def staying(self) -> int:
        """Containers that live and are not to leave."""
        return sum(not self._leaves(container) for container in self._living.values())

    @property
    def not_gone(self) -> int:
        """Containers whose agents were told to leave and have not done so."""
        return sum(
            self._leaves(container) and container.id not in self._gone
            for container in self._living.values()
        )

    def running(self) -> int:
        """Return how many that stay have said hello."""
        return sum(
            container.id in self._hailed and not self._leaves(container)
            for container in self._living.values()
        )

    def mute(self) -> list[Container]:
        """Return the containers from which nobody has said hello."""
        return [c for c in self._living.values() if c.id not in self._hailed]

    def manned(self, present: Iterable[str]) -> bool:
        """Is one of *present*, the containers whose agents answer, of this service?"""
        return any(container in self._living for container in present)

    def hosts(self) -> set[str]:
        """Return the nodes of those who said hello."""
        return {track.host for track in self._hailed.values()}

    def _leaves(self, container: Container) -> bool:
        return container.id in self._told or container.component_instance_name in self._told_names
