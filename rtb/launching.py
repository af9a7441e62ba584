"""The rows of the table of settings that say who starts agents, how many, and where."""

from __future__ import annotations

import getpass
import re
import socket

from rtb import parsing
from rtb.model.scale import Range
from rtb.setting import Setting

__all__ = ["LAUNCHING", "defaults"]

_LEADER = frozenset({"leader"})
_AGENT = frozenset({"agent"})
_MANAGER = re.compile(r"(?:(https?)://)?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])(?::([0-9]{1,5}))?/?\Z")
_MOST = 100_000


def _range(text: str) -> Range:
    match = re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", text)
    if match is None or not int(match[1]) <= int(match[2]) <= _MOST:
        raise ValueError(f"must be MIN:MAX, two numbers of agents up to {_MOST}, for example 0:8")
    return Range(int(match[1]), int(match[2]))


def _managers(text: str) -> tuple[str, ...]:
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        match = _MANAGER.match(entry)
        if match is None or int(match[3] or 1) > 65535:
            raise ValueError(
                "must be the web addresses of ResourceManagers, separated by ',': HOST:PORT, or "
                f"a URL without a path, not {entry[:80]!r}"
            )
        scheme = match[1] or "http"
        found.append(f"{scheme}://{match[2]}:{match[3] or (8090 if scheme == 'https' else 8088)}")
    if not found:
        raise ValueError("must name a ResourceManager, for example localhost:8088")
    return tuple(found)


def _files(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _variables(text: str) -> dict[str, str]:
    found = {}
    for entry in filter(None, (part.strip() for part in re.split(r"[;\n]", text))):
        name, equals, value = entry.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(f"must be NAME=VALUE, separated by ';', not {entry[:80]!r}")
        found[name] = value
    return found


def _word(text: str) -> str:
    if text.isprintable() and len(text) <= 1000:
        return text
    raise ValueError("must be at most 1000 printable characters")


LAUNCHING: tuple[Setting, ...] = (
    Setting(
        name="RTB_AGENT_CONTAINER",
        attribute="agent_container",
        flag="--agent-container",
        default_says="none",
        parse=parsing.label,
        roles=_AGENT,
        help="what a launcher started the agent in; set by the launcher",
    ),
    Setting(
        name="RTB_AGENT_ALONE",
        attribute="agent_alone",
        flag="--agent-alone",
        default="0",
        parse=parsing.seconds(0, 10_000_000),
        roles=_AGENT,
        help="seconds without work and without a leader after which the agent ends; 0: never",
    ),
    Setting(
        name="RTB_LAUNCHER",
        attribute="launcher",
        flag="--launcher",
        default="none",
        parse=parsing.choice("none", "local", "yarn"),
        roles=_LEADER,
        help="who starts agents: none (you), local (the leader, on its machine) or yarn",
    ),
    Setting(
        name="RTB_AGENTS",
        attribute="agents",
        flag="--agents",
        default="0:8",
        parse=_range,
        roles=_LEADER,
        help="MIN:MAX, how few and how many agents the launcher keeps",
    ),
    Setting(
        name="RTB_AGENTS_QUIET",
        attribute="agents_quiet",
        flag="--agents-quiet",
        default="30",
        parse=parsing.seconds(0, 86400),
        roles=_LEADER,
        help="seconds for which fewer agents must suffice before any of them is ended",
    ),
    Setting(
        name="RTB_AGENTS_LOG",
        attribute="agents_log",
        flag="--agents-log",
        default_says="what the leader prints to",
        parse=_word,
        roles=_LEADER,
        help="local: the directory for what agents print",
    ),
    Setting(
        name="RTB_YARN_RM",
        attribute="yarn_rm",
        flag="--yarn-rm",
        default="localhost:8088",
        parse=_managers,
        roles=_LEADER,
        help="web addresses of the ResourceManagers, separated by ','",
    ),
    Setting(
        name="RTB_YARN_USER",
        attribute="yarn_user",
        flag="--yarn-user",
        default_says="who runs the leader",
        parse=parsing.label,
        roles=_LEADER,
        help="user that the service belongs to",
    ),
    Setting(
        name="RTB_YARN_QUEUE",
        attribute="yarn_queue",
        flag="--yarn-queue",
        default="default",
        parse=_word,
        roles=_LEADER,
        help="queue of the cluster's scheduler",
    ),
    Setting(
        name="RTB_YARN_SERVICE",
        attribute="yarn_service",
        flag="--yarn-service",
        default_says="rtb-BOX, with the name of RTB_BROKER_BOX",
        parse=_word,
        roles=_LEADER,
        help="name of the service; leaders of one box share it",
    ),
    Setting(
        name="RTB_YARN_MEMORY",
        attribute="yarn_memory",
        flag="--yarn-memory",
        default="1024",
        parse=parsing.whole(64, 10_000_000),
        roles=_LEADER,
        help="MB of memory of one agent, all its slots together",
    ),
    Setting(
        name="RTB_YARN_CORES",
        attribute="yarn_cores",
        flag="--yarn-cores",
        default="1",
        parse=parsing.whole(1, 10_000),
        roles=_LEADER,
        help="cores of one agent",
    ),
    Setting(
        name="RTB_YARN_COMMAND",
        attribute="yarn_command",
        flag="--yarn-command",
        default="twistd -n --pidfile= rtb-agent",
        parse=_word,
        roles=_LEADER,
        help="command of one agent, as a node finds it",
    ),
    Setting(
        name="RTB_YARN_FILES",
        attribute="yarn_files",
        flag="--yarn-files",
        default_says="none",
        parse=_files,
        roles=_LEADER,
        help="files that YARN copies into each container, separated by ',': URLs on the "
        "cluster's file system, for example hdfs:///apps/rtb.pex",
    ),
    Setting(
        name="RTB_YARN_ENV",
        attribute="yarn_env",
        flag="--yarn-env",
        default_says="none",
        parse=_variables,
        roles=_LEADER,
        help="NAME=VALUE, separated by ';': more variables for agents; anybody can read them",
    ),
    Setting(
        name="RTB_YARN_AMQP_URL_FILE",
        attribute="yarn_amqp_file",
        flag="--yarn-amqp-url-file",
        default_says="none",
        parse=_word,
        roles=_LEADER,
        help="file on the nodes that holds the broker's URL, for a broker with a password",
    ),
    Setting(
        name="RTB_YARN_LIFETIME",
        attribute="yarn_lifetime",
        flag="--yarn-lifetime",
        default="3600",
        parse=parsing.whole(60, 10_000_000),
        roles=_LEADER,
        help="seconds after which YARN ends the agents when no leader renews them",
    ),
    Setting(
        name="RTB_YARN_IDLE",
        attribute="yarn_idle",
        flag="--yarn-idle",
        default="600",
        parse=parsing.seconds(0, 10_000_000),
        roles=_LEADER,
        help="seconds without any agent after which the service itself is removed",
    ),
)


def defaults(box: str) -> dict[str, object]:
    """Return the defaults that are made from something else: the machine, the user, the box."""
    return {
        "agent_name": _host_name(),
        "agent_container": "",
        "agents_log": "",
        "yarn_amqp_file": "",
        "yarn_user": _user_name(),
        "yarn_service": f"rtb-{box}"[:63],
        "yarn_files": (),
        "yarn_env": {},
    }


def _host_name() -> str:
    try:
        return parsing.label(socket.gethostname())
    except ValueError:
        return "agent"


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "rtb"
