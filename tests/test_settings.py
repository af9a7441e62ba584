from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtb.errors import ConfigurationError
from rtb.model.retention import Retention
from rtb.parsing import is_private
from rtb.settings import (
    SETTINGS,
    Broker,
    Database,
    HostPort,
    Setting,
    Settings,
    require_private_listening,
    unknown,
)


def load(**environ: str) -> Settings:
    return Settings.load({}, environ)


def refusal(**environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**environ)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_the_published_ones() -> None:
    settings = load()
    assert settings.max_queue == 50
    assert settings.db == Database("postgres", 5432, "postgres", "", "postgres", "prefer")
    assert settings.amqp == Broker("rabbit", 5672, "guest", "guest", "/", False)
    assert settings.api_host == HostPort("rtb-boa", 8080)
    assert settings.api_listen == "tcp:8080:interface=127.0.0.1"
    assert settings.trusted_network is False
    assert settings.box == "outbox"
    assert settings.seed_count == 100
    assert (settings.epoch, settings.drain_timeout, settings.agent_slots) == (10, 8, 8)
    assert settings.agent_name == socket.gethostname()
    assert settings.workloads == {"default": "coinflip", "coinflip": "coinflip"}
    assert settings.log_level == "info"
    assert settings.retention == Retention("all", None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("1.5h", 5400), (" 2W ", 1_209_600), ("ALL", None)]
)
def test_retention(text: str, seconds: float | None) -> None:
    retention = load(RTB_RETENTION=text).retention
    assert retention.seconds == seconds
    assert str(retention) == text.strip().lower()
    assert ("RTB_RETENTION", str(retention), "environment") in load(RTB_RETENTION=text).shown()


def test_a_flag_wins_over_the_environment_which_wins_over_the_default() -> None:
    settings = Settings.load({"max_queue": "7"}, {"RTB_BROADCAST_MAX_QUEUE": "8", "RTB_EPOCH": "1"})
    assert settings.max_queue == 7
    assert settings.source("max_queue") == "flag"
    assert settings.source("epoch") == "environment"
    assert settings.source("seed_count") == "default"
    assert settings.source("agent_name") == "default"


def test_an_empty_variable_is_an_unset_one() -> None:
    assert load(RTB_DB_HOST="", RTB_DATABASE_URL="", RTB_SEED_COUNT="").seed_count == 100


def test_the_port_of_the_api_follows_its_host() -> None:
    assert load(RTB_API_HOST="boa:9000").api_listen == "tcp:9000:interface=127.0.0.1"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("db:1", "db", 1), ("db", "db", 5432), ("[::1]:7", "::1", 7), ("[fe80::2]", "fe80::2", 5432)],
)
def test_hosts(text: str, host: str, port: int) -> None:
    database = load(RTB_DB_HOST=text).db
    assert (database.host, database.port) == (host, port)


@pytest.mark.parametrize(
    "text", ["db:", "db:0", "db:65536", "db:x", "::1", "a b", ":1", "[::1", "é"]
)
def test_bad_hosts(text: str) -> None:
    message = refusal(RTB_DB_HOST=text)
    assert message.startswith(f"RTB_DB_HOST={text!r} must be HOST:PORT")


def test_database_url_wins_over_the_host() -> None:
    settings = load(
        RTB_DB_HOST="db:1", RTB_DATABASE_URL="postgresql://u%40:p%2Fw@h:5/n%20m?sslmode=require"
    )
    assert settings.db == Database("h", 5, "u@", "p/w", "n m", "require")
    assert load(RTB_DATABASE_URL="postgres://h").db == Database("h")
    assert load(RTB_DATABASE_URL="postgres://u@[::1]").db == Database("::1", user="u", name="u")


def test_amqp_url_wins_over_the_host() -> None:
    settings = load(RTB_BROKER_HOST="x:1", RTB_AMQP_URL="amqps://u:p%40@h/%2Fv")
    assert settings.amqp == Broker("h", 5671, "u", "p@", "/v", True)
    assert load(RTB_AMQP_URL="amqp://h").amqp == Broker("h")
    assert load(RTB_AMQP_URL="amqp://h:9/").amqp == Broker("h", 9)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:canary@h/x",
        "postgresql://u:can/ary@h/x",
        "postgresql://u:canary@h:port/x",
        "postgresql://u:canary@h/x?sslmode=maybe",
        "postgresql://u:canary@h/x?connect=1",
        "postgresql://u:canary@[h/x",
        "postgresql://u:canary@h/x y",
        "postgresql://u:canary@h/x/y",
        "postgresql://u:canary@h/x#y",
        "canary",
    ],
)
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    message = refusal(RTB_DATABASE_URL=url)
    assert message.startswith("RTB_DATABASE_URL='***' must be ")
    assert "canary" not in message


@pytest.mark.parametrize("url", ["http://h", "amqp://u:canary@h/a/b", "amqp://u:canary@h/?x=1"])
def test_a_bad_amqp_url_is_refused_without_its_password(url: str) -> None:
    assert "canary" not in refusal(RTB_AMQP_URL=url)


def test_secrets_come_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("amqp://u:p@h\n")
    settings = load(RTB_AMQP_URL_FILE=str(secret))
    assert settings.amqp == Broker("h", 5672, "u", "p")
    assert settings.source("amqp") == "file"
    assert Settings.load({"amqp_url_file": str(secret)}, {}).amqp == settings.amqp


def test_secret_files_that_cannot_be_used(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.touch()
    binary.write_bytes(b"\xff\xfe")
    assert "No such file" in refusal(RTB_AMQP_URL_FILE=str(tmp_path / "none"))
    assert "is empty" in refusal(RTB_AMQP_URL_FILE=str(empty))
    assert "not UTF-8" in refusal(RTB_AMQP_URL_FILE=str(binary))
    assert "not both" in refusal(RTB_AMQP_URL_FILE=str(empty), RTB_AMQP_URL="amqp://h")


def test_a_role_does_not_open_the_secrets_of_others() -> None:
    environ = {"RTB_DATABASE_URL_FILE": "/run/secrets/only-the-api-has-this"}
    assert Settings.load({}, environ, role="agent").db == Database()
    with pytest.raises(ConfigurationError):
        Settings.load({}, environ, role="api")


def test_no_secret_is_shown() -> None:
    settings = load(
        RTB_DATABASE_URL="postgresql://u:canary@h/n", RTB_AMQP_URL="amqp://u:canary@h/v"
    )
    shown = settings.shown()
    for text in (repr(settings), str(settings), str(settings.db), repr(settings.amqp), str(shown)):
        assert "canary" not in text
    assert (
        "RTB_DATABASE_URL",
        "postgresql://u:***@h:5432/n?sslmode=prefer",
        "environment",
    ) in shown
    assert [name for name, _, _ in shown] == sorted(name for name, _, _ in shown)


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("RTB_BROADCAST_MAX_QUEUE", "0", "must be a whole number from 1 to 100000"),
        ("RTB_BROADCAST_MAX_QUEUE", "1e3", "must be a whole number from 1 to 100000"),
        ("RTB_SEED_COUNT", "-1", "must be a whole number from 0 to 1000000"),
        ("RTB_SEED_COUNT", "٣", "must be a whole number from 0 to 1000000"),
        ("RTB_EPOCH", "nan", "must be a number of seconds from 0.2 to 3600"),
        ("RTB_EPOCH", "soon", "must be a number of seconds from 0.2 to 3600"),
        ("RTB_DRAIN_TIMEOUT", "-1", "must be a number of seconds from 0 to 1e+07"),
        ("RTB_TRUSTED_NETWORK", "2", "must be 1 or 0"),
        ("RTB_LOG_LEVEL", "loud", "must be one of debug, info, warn, error"),
        ("RTB_AGENT_NAME", "a b", "must be letters"),
        ("RTB_BROKER_BOX", "dead", "is refused: 'dead' is no name for a box"),
        ("RTB_API_LISTEN", "tcp:http", "must be a Twisted server endpoint"),
        ("RTB_API_LISTEN", "nowhere:1", "must be a Twisted server endpoint"),
        ("RTB_RETENTION", "30", "must be a number with s, m, h, d or w behind it"),
        ("RTB_RETENTION", "-1d", "must be a number with s, m, h, d or w behind it"),
        ("RTB_RETENTION", "6000w", "at most 100 years"),
        ("RTB_RETENTION", "59m", "must be an hour (1h) at least, or all"),
        ("RTB_WORKLOADS", "a=noop;a=noop", "must name each workload once"),
        ("RTB_WORKLOADS", "noop", "must be NAME=SPEC"),
        ("RTB_WORKLOADS", "A=noop", "'A' is no name for a workload"),
        ("RTB_WORKLOADS", "a=shell:x", "must be NAME=SPEC where SPEC begins with"),
        ("RTB_WORKLOADS", "a=command:sh -c 'x", "must close each quotation"),
        ("RTB_WORKLOADS", "coinflip=noop", "must not give the name 'coinflip'"),
    ],
)
def test_bad_values(name: str, text: str, allowed: str) -> None:
    message = refusal(**{name: text})
    assert message.startswith(f"{name}={text!r} ")
    assert allowed in message


@given(st.sampled_from(SETTINGS), st.text(max_size=40))
def test_any_text_is_a_value_or_one_clear_line(setting: Setting, text: str) -> None:
    message = ""
    try:
        load(**{setting.name: text})
    except ConfigurationError as problem:
        message = str(problem)
    assert message.startswith(setting.name) or not message
    assert message.isprintable()


def test_workloads_keep_what_is_quoted() -> None:
    settings = load(
        RTB_WORKLOADS='a=command:sh -c \'x; y\' "z\\";";\n\nb=python:m:f\nc=coinflip:error=0.1'
    )
    assert settings.workloads == {
        "a": 'command:sh -c \'x; y\' "z\\";"',
        "b": "python:m:f",
        "c": "coinflip:error=0.1",
        "coinflip": "coinflip",
    }


@pytest.mark.parametrize(
    ("description", "private"),
    [
        ("tcp:8080:interface=127.0.0.1", True),
        ("tcp:8080:interface=127.9.9.9", True),
        ("tcp:8080:interface=localhost", True),
        ("tcp6:8080:interface=\\:\\:1", True),
        ("unix:/run/rtb.sock", True),
        ("tcp:8080", False),
        ("tcp:8080:interface=0.0.0.0", False),
        ("tcp6:8080", False),
        ("tcp:8080:interface=rtb-boa", False),
        ("systemd:domain=INET:index=0", False),
    ],
)
def test_listening_beyond_this_machine_must_be_asked_for(description: str, private: bool) -> None:
    assert is_private(description) is private
    require_private_listening(load(RTB_API_LISTEN="tcp:1", RTB_TRUSTED_NETWORK="1"))
    with pytest.raises(ConfigurationError, match="RTB_TRUSTED_NETWORK=1"):
        require_private_listening(load(RTB_API_LISTEN="tcp:1"))


def test_unknown_names_come_with_the_nearest_known_one() -> None:
    environ = {"RTB_BROKER_HSOT": "x", "RTB_UNIT": "1", "RTB_DB_HOST": "h", "PATH": "/bin"}
    assert unknown(environ) == [("RTB_BROKER_HSOT", "RTB_BROKER_HOST")]
    assert unknown({"RTB_AMQP_URL_FILE": "x", "RTB_DATABASE_URL_FILE": "y"}) == []


def test_flags_and_names_are_told_apart() -> None:
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)
    assert len({row.flag for row in SETTINGS}) == len(SETTINGS)
    assert all(row.help and row.roles for row in SETTINGS)
