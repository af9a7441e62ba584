from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtb.roles import agent, api, leader, whole
from rtb.roles.options import RoleOptions
from rtb.settings import SETTINGS

ROOT = Path(__file__).parents[2]
TWISTD = "from twisted.scripts.twistd import run; run()"
ROLES = [api.Options, leader.Options, agent.Options, whole.Options]
TAPNAMES = ["rtb-api", "rtb-leader", "rtb-agent", "rtb"]


def twistd(*arguments: str, code: str = TWISTD, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environ},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_listing_the_roles_imports_none_of_them() -> None:
    code = (
        "import sys\nfrom twisted.scripts.twistd import run\n"
        "try: run()\nexcept SystemExit: pass\n"
        "heavy = {'pika', 'psycopg2', 'txpostgres', 'klein', 'treq', 'rtb.settings'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    listed = twistd("--help", code=code)
    assert listed.returncode == 0, listed.stderr
    words = listed.stdout.split()
    assert all(name in words for name in TAPNAMES)


@pytest.mark.parametrize("tapname", TAPNAMES)
def test_help_of_a_role_describes_what_it_uses(tapname: str) -> None:
    shown = twistd(tapname, "--help")
    assert shown.returncode == 0, shown.stderr
    text = " ".join(shown.stdout.split())
    roles = {"rtb-api": {"api", "leader"}, "rtb": {"api", "leader", "agent"}}.get(
        tapname, {tapname.removeprefix("rtb-")}
    )
    for row in SETTINGS:
        assert (f"{row.flag}= {row.name}: " in text) is bool(row.roles & roles), row.name
    assert (
        "RTB_LOG_LEVEL: least level that is logged: debug, info, warn or error [default: info]"
        in text
    )
    assert ("--with-leader" in text) is (tapname == "rtb-api")


@pytest.mark.parametrize("tapname", TAPNAMES)
def test_a_bad_value_is_one_line_and_exit_78(tapname: str) -> None:
    refused = twistd("-n", "--pidfile=", tapname, RTB_SEED_COUNT="many")
    assert refused.returncode == 78
    assert refused.stdout == ""
    assert refused.stderr == (
        f"{tapname}: RTB_SEED_COUNT='many' must be a whole number from 0 to 1000000\n"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--max-queue=0"], "--max-queue='0' must be a whole number from 1 to 100000"),
        (["--slots=1"], "option --slots not recognized; see twistd rtb-leader --help"),
        (["now"], "Wrong number of arguments; see twistd rtb-leader --help"),
    ],
)
def test_a_bad_command_line_is_one_line_and_exit_78(arguments: list[str], line: str) -> None:
    refused = twistd("-n", "--pidfile=", "rtb-leader", *arguments)
    assert (refused.returncode, refused.stderr) == (78, f"rtb-leader: {line}\n")


def parsed(options: type[RoleOptions], *arguments: str) -> RoleOptions:
    made = options()
    made.parseOptions(list(arguments))
    return made


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RTB_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("options", ROLES)
def test_flags_win_over_the_environment(
    options: type[RoleOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RTB_BROKER_HOST", "one:1")
    monkeypatch.setenv("RTB_AGENT_SLOTS", "3")
    settings = parsed(options, "--broker-host", "two:2").settings
    assert (settings.amqp.host, settings.agent_slots) == ("two", 3)


def test_only_those_who_listen_refuse_to_listen_everywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RTB_API_LISTEN", "tcp:8080")
    for options in (leader.Options, agent.Options):
        parsed(options)
    for options in (api.Options, whole.Options):
        with pytest.raises(SystemExit) as caught:
            parsed(options)
        assert caught.value.code == 78
        assert "set RTB_TRUSTED_NETWORK=1 if" in capsys.readouterr().err
        parsed(options, "--trusted-network=1")


def test_a_leader_beside_the_api() -> None:
    assert not parsed(api.Options)["with-leader"]
    assert parsed(api.Options, "--with-leader")["with-leader"]


def test_secrets_are_no_flags() -> None:
    for options in ROLES:
        names = {name for name, *_ in options.optParameters}  # type: ignore[attr-defined]
        assert not names & {"database-url", "amqp-url"}


def test_what_only_a_role_can_judge_is_one_line_and_exit_78_too() -> None:
    refused = twistd("-n", "--pidfile=", "rtb-agent", RTB_WORKLOADS="a=coinflip:luck=1")
    assert refused.returncode == 78
    assert refused.stderr.startswith("rtb-agent: RTB_WORKLOADS")
    assert refused.stderr.count("\n") == 1


def test_the_log_has_its_level_and_names_what_is_not_known(
    tmp_path: Path,
) -> None:
    log = tmp_path / "role.log"
    code = (
        "import sys\nfrom twisted.internet import reactor\nfrom twisted.logger import Logger\n"
        "def speak():\n"
        "    for level in ('debug', 'info', 'warn'):\n"
        "        getattr(Logger('test'), level)('it is ' + level)\n"
        "    Logger('twisted.internet.protocol.Factory').info('chatter')\n"
        "    reactor.stop()\n"
        "reactor.callWhenRunning(speak)\n"
        "from twisted.scripts.twistd import run; run()\n"
    )
    for level, said in (("debug", 4), ("info", 2), ("warn", 1)):
        ended = twistd(
            "-n", "--pidfile=", f"--logfile={log}", "rtb-leader",
            code=code, RTB_LOG_LEVEL=level, RTB_BROKER_HOST="localhost:1", RTB_BROKER_HSOT="x",
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        text = log.read_text()
        assert text.count("it is ") + text.count("chatter") == said
        assert text.count("not used: RTB_BROKER_HSOT (nearest: RTB_BROKER_HOST)") == 1
        log.unlink()
