"""``rtb check``: is everything there that rtb needs?"""

from __future__ import annotations

from typing import Any

import click

from rtb.cli.running import run

__all__ = ["check"]


@click.command()
@click.option("--yarn", "with_yarn", is_flag=True, help="The cluster that RTB_YARN_RM names.")
def check(with_yarn: bool) -> None:
    """Look whether what rtb is configured to use will do; with --yarn, the YARN cluster.

    The exit code is 0 when all is well, and 1 otherwise.
    """
    if not with_yarn:
        raise click.UsageError("say what to check: --yarn")

    async def work(reactor: Any) -> int:
        # Here because it is slow to import, and --help does not need it.
        import os
        import secrets

        from rtb.leader.yarn.check import check as check_yarn
        from rtb.roles.staffing import yarn_plan
        from rtb.settings import Settings

        settings = Settings.load({}, os.environ, role="leader")
        plan = yarn_plan(settings)
        managers, user = settings.yarn_rm, settings.yarn_user
        found = await check_yarn(reactor, managers, user, plan, secrets.token_hex(4))
        for finding in found:
            mark = "ok  " if finding.good else "LACK"
            click.echo(f"{mark}  {finding.what}: {finding.said}")
        # One ResourceManager of several may be away.
        beyond = found[len(managers) :]
        reached = any(finding.good for finding in found[: len(managers)])
        return 0 if reached and beyond and all(finding.good for finding in beyond) else 1

    run(work)
