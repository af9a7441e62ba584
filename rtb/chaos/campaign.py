"""Runs a tier: run after run, each on fresh servers or all on given ones."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults

from rtb.chaos.checks import fence_used
from rtb.chaos.coverage import needs
from rtb.chaos.figures import describe, markdown, table, verdict
from rtb.chaos.outsider import Outsider
from rtb.chaos.run import Outcome, Run
from rtb.chaos.system import Shape
from rtb.chaos.tiers import Tier
from rtb.errors import ConfigurationError
from rtb.failpoint import POINTS
from rtb.sandbox import Sandbox
from rtb.settings import Settings

__all__ = ["Campaign"]

#: Seconds after which a run is given up.
_RUN_LIMIT = 600.0
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
    #: How many of the tier's runs to do, and how many of them at a time.
    runs: int | None = None
    jobs: int = 1
    outcomes: list[Outcome] = attrs.field(factory=list)
    met: Counter[str] = attrs.field(factory=Counter)

    async def run(self) -> bool:
        """Return whether all invariants held in all runs.

        :raises ConfigurationError: the servers named cannot be used so
        """
        runs = self.tier.runs if self.runs is None else self.runs
        if self.jobs > 1 and self._given:
            raise ConfigurationError("several runs at a time need servers of their own")
        waiting = iter(range(runs))

        async def work() -> bool:
            held = True
            for number in waiting:
                self.say(f"run {number + 1} of {runs}, seed {self.seed + number}")
                held = await self._one(self.seed + number, number) and held
            return held

        jobs = range(min(self.jobs, runs))
        try:
            held = all(
                await gatherResults(
                    [Deferred.fromCoroutine(work()) for _ in jobs], consumeErrors=True
                )
            )
        except FirstError as problem:
            problem.subFailure.raiseException()
        self.say("\n".join(markdown(table(self.outcomes, self.met))))
        if not fence_used([outcome.evidence for outcome in self.outcomes]):
            self.say("BROKEN M1: agents were frozen, and no late word of a closed attempt came")
            held = False
        missing = [point for point in POINTS if self.met[point] < self.tier.failpoints]
        if missing and runs >= self.tier.runs:
            self.say(f"NOT MET {self.tier.failpoints} times: {', '.join(missing)}")
            held = False
        self.say("all invariants held" if held else "NOT ALL INVARIANTS HELD")
        return held

    @property
    def _given(self) -> bool:
        """Are the servers somebody else's?"""
        return any(self.environ.get(name) for name in _NAMES)

    async def _one(self, seed: int, number: int) -> bool:
        directory = Path(self.directory or tempfile.mkdtemp(prefix="rtb-chaos-"))
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)
        roles = directory / f"run-{seed}"
        roles.mkdir()
        problems = []
        try:
            outcome = await self._on_servers(seed, number, roles, directory / f"servers-{seed}")
        except ConfigurationError:
            raise
        except Exception as problem:  # one run that cannot be finished does not cost the others
            problems.append(f"BROKEN run: {type(problem).__name__}: {problem}")
        else:
            self.outcomes.append(outcome)
            self.met += outcome.failpoints
            self.say(describe(outcome))
            problems += verdict(outcome)
        for line in problems:
            self.say(line)
        if problems:
            self.say(f"what seed {seed} left is in {directory}")
        elif self.directory is None:
            shutil.rmtree(directory)
        else:
            shutil.rmtree(directory / f"servers-{seed}", ignore_errors=True)
        return not problems

    async def _on_servers(self, seed: int, number: int, roles: Path, servers: Path) -> Outcome:
        sandbox = await self._servers(servers)
        try:
            running = Deferred.fromCoroutine(self._run(seed, number, roles, sandbox).run())
            return await running.addTimeout(_RUN_LIMIT, self.reactor)
        finally:
            if sandbox is not None:
                await sandbox.stop()

    async def _servers(self, directory: Path) -> Sandbox | None:
        if self._given:
            return None
        sandbox = Sandbox(self.reactor, directory, durable=False)
        await sandbox.start()
        return sandbox

    def _run(self, seed: int, number: int, roles: Path, sandbox: Sandbox | None) -> Run:
        environ = self.environ if sandbox is None else sandbox.environment()
        settings = Settings.load({}, environ)
        if sandbox is None and not Outsider(settings.db, settings.amqp).is_empty():
            raise ConfigurationError("the ledger named has orders in it: chaos wants an empty one")
        chance = Random(f"{seed} needs")  # noqa: S311 the seed is printed, for replay
        needed = needs(self.met, self.tier.failpoints, max(1, self.tier.runs - number), chance)
        return Run(
            self.reactor,
            roles,
            settings.db,
            settings.amqp,
            sandbox,
            tier=self.tier.of_run(seed),
            seed=seed,
            needed=needed,
            say=lambda text: self.say(f"{seed}: {text}" if self.jobs > 1 else text),
            shape=self.shape,
        )
