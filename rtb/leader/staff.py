"""How a leader is staffed: its launcher, and the rule for how many agents it is to keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from rtb.leader.fleet import Fleet
from rtb.leader.launcher import Launcher, NoLauncher
from rtb.leader.register import Agent, Register
from rtb.model.scale import Range, Scale
from rtb.model.tracker import Tracker

__all__ = ["Staff"]


@attrs.frozen(kw_only=True)
class Staff:
    """What of a launcher outlives a reign.

    :param slots: of one agent
    :param quiet: seconds that agents wait for more work before some are told to leave
    :param offers: workloads that the agents run
    """

    launcher: Launcher = attrs.field(factory=NoLauncher)
    bounds: Range = attrs.field(factory=lambda: Range(0, 0))
    slots: int = 1
    quiet: float = 30.0
    offers: frozenset[str] = frozenset()

    def fleet(
        self,
        reactor: Any,
        register: Register,
        tracker: Tracker,
        *,
        dismiss: Callable[[Agent], None],
        exited: Callable[[Agent, str], None],
        changed: Callable[[], None],
    ) -> Fleet:
        """Return the fleet of one reign."""
        return Fleet(
            reactor,
            self.launcher,
            Scale(self.bounds, self.slots, self.quiet),
            register,
            tracker,
            offers=self.offers,
            settle=self.quiet,
            dismiss=dismiss,
            exited=exited,
            changed=changed,
        )
