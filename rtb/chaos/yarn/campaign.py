"""A run with servers of its own, and what is said of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rtb.chaos.figures import describe, table, verdict
from rtb.chaos.yarn.run import EXPIRY, YarnRun
from rtb.sandbox import Sandbox
from rtb.sandbox.yarn import YarnCluster
from rtb.settings import Settings

__all__ = ["run_on_yarn"]


async def run_on_yarn(
    reactor: Any,
    *,
    units: int,
    kills: int,
    seed: int,
    say: Callable[[str], None],
    directory: Path | None = None,
) -> bool:
    """Settle *units* under *kills* on a private cluster; return whether all invariants held.

    :param directory: where files are kept; None: a temporary place, removed unless something broke
    :raises SandboxError: a server does not start; Java or Maven may be missing
    """
    place = Path(directory or tempfile.mkdtemp(prefix="rtb-chaos-")).absolute()
    roles = place / f"yarn-{seed}"
    roles.mkdir(parents=True)
    place.chmod(0o711)
    sandbox = Sandbox(reactor, place / f"servers-{seed}", durable=False)
    cluster = YarnCluster(reactor, place / f"cluster-{seed}", nodes=2, pair=True, expiry=EXPIRY)
    say("starting PostgreSQL, RabbitMQ and Hadoop YARN ...")
    await sandbox.start()
    try:
        await cluster.start()
        try:
            settings = Settings.load({}, sandbox.environment())
            run = YarnRun(
                reactor, roles, settings.db, settings.amqp, cluster,
                units=units, kills=kills, seed=seed, say=say,
            )  # fmt: skip
            outcome = await run.run()
        finally:
            await cluster.stop()
    finally:
        await sandbox.stop()
    for name, value in [*table([outcome], {}), ("most agents at once", str(run.most))]:
        say(f"  {name:40} {value}")
    say(describe(outcome))
    problems = list(verdict(outcome))
    made = sum(outcome.faults.values())
    if made != kills:
        problems.append(f"{made} kills were made, not {kills}")
    for problem in problems:
        say(problem)
    if problems:
        say(f"what it left is in {place}")
    elif directory is None:
        shutil.rmtree(place)
    say("NOT ALL INVARIANTS HELD" if problems else "all invariants held")
    return not problems
