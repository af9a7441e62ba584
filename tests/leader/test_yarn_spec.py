"""What is sent to YARN, and what is refused before."""

from __future__ import annotations

from typing import Any

import pytest

from rtb.errors import ConfigurationError
from rtb.leader.yarn.spec import OURS, Plan
from rtb.roles.staffing import yarn_plan
from rtb.settings import Settings


def plan(**changes: Any) -> Plan:
    return Plan(**{
        "service": "rtb-outbox", "queue": "default", "memory": 256, "cores": 1,
        "command": "twistd -n rtb-agent", "lifetime": 3600, "environment": {"A": "b"}, **changes,
    })  # fmt: skip


def test_what_yarn_demands_is_there() -> None:
    spec = plan(files=["hdfs:///apps/rtb.pex"]).render(3)
    (component,) = spec["components"]
    assert component["resource"]["memory"] == "256", "a string, or YARN refuses it"
    assert component["launch_command"] == "exec twistd -n rtb-agent"
    assert component["number_of_containers"] == 3
    assert component["restart_policy"] == "ALWAYS"
    assert all(isinstance(v, str) for v in spec["configuration"]["properties"].values())
    env = component["configuration"]["env"]
    assert env["RTB_AGENT_CONTAINER"] == "${CONTAINER_ID}"
    assert component["configuration"]["files"] == [
        {"type": "STATIC", "src_file": "hdfs:///apps/rtb.pex", "dest_file": "rtb.pex"}
    ]


def test_the_version_names_what_runs_not_how_much_of_it() -> None:
    version = plan().render(1)["version"]
    assert version.startswith(OURS)
    assert plan(lifetime=60).render(9)["version"] == version
    for change in ({"memory": 512}, {"environment": {"A": "c"}}, {"command": "x"}, {"queue": "q"}):
        assert plan(**change).version != version


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"service": "Rtb"}, "RTB_YARN_SERVICE"),
        ({"service": "rtb/../x"}, "RTB_YARN_SERVICE"),
        ({"service": ""}, "RTB_YARN_SERVICE"),
        ({"service": "x" * 64}, "RTB_YARN_SERVICE"),
        ({"queue": "a b"}, "RTB_YARN_QUEUE"),
        ({"command": 'sh -c "x"'}, "RTB_YARN_COMMAND"),
        ({"command": "x\ny"}, "RTB_YARN_COMMAND"),
        ({"command": " "}, "RTB_YARN_COMMAND"),
        ({"environment": {"RTB_WORKLOADS": "a=command:sh -c '$HOME'"}}, "RTB_WORKLOADS"),
        ({"environment": {"X": 'a"; rm -rf /; "'}}, "X"),
        ({"environment": {"A B": "c"}}, "A B"),
        ({"files": ["rtb.pex"]}, "RTB_YARN_FILES"),
    ],
)
def test_what_a_shell_or_yarn_would_misread_is_refused(change: Any, named: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        plan(**change)
    assert str(refused.value).startswith(named)


def settings(**variables: str) -> Settings:
    return Settings.load({}, {f"RTB_{name}": text for name, text in variables.items()})


def test_no_secret_is_sent() -> None:
    with pytest.raises(ConfigurationError, match="RTB_YARN_AMQP_URL_FILE") as refused:
        yarn_plan(settings(AMQP_URL="amqp://u:canary@h/"))
    assert "canary" not in str(refused.value)
    with_file = settings(AMQP_URL="amqp://u:canary@h/", YARN_AMQP_URL_FILE="/etc/rtb/amqp")
    spec = str(yarn_plan(with_file).render(1))
    assert "canary" not in spec
    assert "/etc/rtb/amqp" in spec


def test_a_broker_without_a_password_of_its_own_is_named() -> None:
    env = yarn_plan(settings(BROKER_HOST="mq:5673", WORKLOADS="a=noop;b=command:cat -")).environment
    assert env["RTB_BROKER_HOST"] == "mq:5673"
    assert env["RTB_WORKLOADS"] == "a=noop;b=command:cat -;coinflip=coinflip"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RTB_AGENTS", "8"),
        ("RTB_AGENTS", "3:2"),
        ("RTB_LAUNCHER", "kubernetes"),
        ("RTB_YARN_RM", "http://rm:8088/path"),
        ("RTB_YARN_RM", ","),
        ("RTB_YARN_MEMORY", "1g"),
        ("RTB_YARN_ENV", "novalue"),
    ],
)
def test_a_bad_setting_is_named(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Settings.load({}, {name: text})
    assert str(refused.value).startswith(f"{name}={text!r}")


def test_where_the_resource_managers_are() -> None:
    assert list(settings(YARN_RM="a, b:18088,https://c").yarn_rm) == [
        "http://a:8088", "http://b:18088", "https://c:8090",
    ]  # fmt: skip
