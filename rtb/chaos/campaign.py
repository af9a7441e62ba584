"""Runs a tier: run after run, each on fresh servers or all on given ones."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from rtb.chaos.figures import describe, table, verdict
from rtb.chaos.outsider import Outsider
from rtb.chaos.run import Outcome, Run
from rtb.chaos.system import Shape
from rtb.chaos.tiers import Tier
from rtb.errors import ConfigurationError
from rtb.failpoint import POINTS
from rtb.sandbox import Sandbox
from rtb.settings import Settings

__all__ = ["Campaign"]

_NAMES = ("RTB_DB_HOST", "RTB_DATABASE_URL", "RTB_BROKER_HOST", "RTB_AMQP_URL")


@attrs.define(kw_only=True)
class Campaign:
    """All runs of a tier."""

    reactor: Any
    environ: Mapping[str, str]
    tier: Tier
    seed: int
    say: Callable[[str], None]
    #: Where the runs keep their files; a temporary place, removed unless something broke.
    directory: Path | None = None
    shape: Shape | None = None
    outcomes: list[Outcome] = attrs.field(factory=list)
    met: Counter[str] = attrs.field(factory=Counter)

    async def run(self) -> bool:
        """Return whether all invariants held in all runs."""
        held = True
        for number in range(self.tier.runs):
            seed = self.seed + number
            self.say(f"run {number + 1} of {self.tier.runs}, seed {seed}")
            held = await self._one(seed, number) and held
        for name, value in table(self.outcomes):
            self.say(f"  {name:40} {value}")
        missing = [point for point in POINTS if self.met[point] < self.tier.failpoints]
        if missing:
            self.say(f"failpoints met less than {self.tier.failpoints} times: {missing}")
        self.say("all invariants held" if held else "NOT ALL INVARIANTS HELD")
        return held

    async def _one(self, seed: int, number: int) -> bool:
        directory = Path(self.directory or tempfile.mkdtemp(prefix="rtb-chaos-"))
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)
        roles = directory / f"run-{seed}"
        roles.mkdir()
        sandbox = await self._servers(directory / f"servers-{seed}")
        try:
            outcome = await self._run(seed, number, roles, sandbox).run()
        finally:
            if sandbox is not None:
                await sandbox.stop()
        self.outcomes.append(outcome)
        self.met += outcome.failpoints
        problems = list(verdict(outcome))
        self.say(describe(outcome))
        for problem in problems:
            self.say(problem)
        if problems:
            self.say(f"what it left is in {directory}")
        elif self.directory is None:
            shutil.rmtree(directory)
        else:
            shutil.rmtree(directory / f"servers-{seed}", ignore_errors=True)
        return not problems

    async def _servers(self, directory: Path) -> Sandbox | None:
        given = [name for name in _NAMES if self.environ.get(name)]
        if given:
            return None
        sandbox = Sandbox(self.reactor, directory, durable=False)
        await sandbox.start()
        return sandbox

    def _run(self, seed: int, number: int, roles: Path, sandbox: Sandbox | None) -> Run:
        environ = self.environ if sandbox is None else sandbox.environment()
        settings = Settings.load({}, environ)
        if sandbox is None and not Outsider(settings.db, settings.amqp).is_empty():
            raise ConfigurationError("the ledger named has orders in it: chaos wants an empty one")
        # Each failpoint as often as its share of the tier, by the end of this run.
        goal = -(-self.tier.failpoints * (number + 1) // self.tier.runs)
        goal -= min((self.met[point] for point in POINTS), default=0)
        return Run(
            self.reactor,
            roles,
            settings.db,
            settings.amqp,
            sandbox,
            tier=self.tier,
            seed=seed,
            failpoints=max(0, goal),
            say=self.say,
            shape=self.shape,
        )
