"""The table of settings: one row for each name, flag, default and check.

It is the source of each role's ``--help``, of ``rtb config show`` and of the docs.
"""

from __future__ import annotations

from rtb import addresses, failpoint, launching, parsing
from rtb.addresses import Broker, Database, HostPort
from rtb.model.names import BadNameError, check_box
from rtb.model.retention import read_retention
from rtb.setting import Setting

__all__ = ["SETTINGS"]

_ALL = frozenset({"api", "leader", "agent"})
_API = frozenset({"api"})
_LEADER = frozenset({"leader"})
_AGENT = frozenset({"agent"})


def _box(text: str) -> str:
    try:
        return check_box(text)
    except BadNameError as problem:
        raise ValueError(f"is refused: {problem}") from None


def _database_host(text: str) -> Database:
    where = addresses.read_host_port(text, 5432)
    return Database(host=where.host, port=where.port)


def _broker_host(text: str) -> Broker:
    where = addresses.read_host_port(text, 5672)
    return Broker(host=where.host, port=where.port)


def _api_host(text: str) -> HostPort:
    return addresses.read_host_port(text, 8080)


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="RTB_BROADCAST_MAX_QUEUE",
        attribute="max_queue",
        flag="--max-queue",
        default="50",
        parse=parsing.whole(1, 100_000),
        roles=_LEADER,
        help="N: always keep N units in the job tracker",
    ),
    Setting(
        name="RTB_DATABASE_URL",
        attribute="db",
        flag="--database-url-file",
        parse=addresses.read_database_url,
        roles=_API,
        help="the ledger, as postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE; "
        "wins over RTB_DB_HOST",
        secret=True,
    ),
    Setting(
        name="RTB_DB_HOST",
        attribute="db",
        flag="--db-host",
        default="postgres:5432",
        parse=_database_host,
        roles=_API,
        help="PostgreSQL that holds the ledger, as user and in database postgres",
    ),
    Setting(
        name="RTB_AMQP_URL",
        attribute="amqp",
        flag="--amqp-url-file",
        parse=addresses.read_amqp_url,
        roles=_ALL,
        help="the broker, as amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps:// for TLS); "
        "wins over RTB_BROKER_HOST",
        secret=True,
    ),
    Setting(
        name="RTB_BROKER_HOST",
        attribute="amqp",
        flag="--broker-host",
        default="rabbit:5672",
        parse=_broker_host,
        roles=_ALL,
        help="RabbitMQ, as user guest",
    ),
    Setting(
        name="RTB_API_HOST",
        attribute="api_host",
        flag="--api-host",
        default="rtb-boa:8080",
        parse=_api_host,
        roles=_API,
        help="where others find the API",
    ),
    Setting(
        name="RTB_API_LISTEN",
        attribute="api_listen",
        flag="--api-listen",
        default_says="tcp:PORT:interface=127.0.0.1, with the port of RTB_API_HOST",
        parse=parsing.endpoint,
        roles=_API,
        help="where the API listens: a Twisted server endpoint",
    ),
    Setting(
        name="RTB_TRUSTED_NETWORK",
        attribute="trusted_network",
        flag="--trusted-network",
        default="0",
        parse=parsing.switch,
        roles=_ALL,
        help="1: whoever reaches the API may use it; needed to listen elsewhere than on loopback",
    ),
    Setting(
        name="RTB_BROKER_BOX",
        attribute="box",
        flag="--box",
        default="outbox",
        parse=_box,
        roles=_LEADER | _AGENT,
        help="name of the leader's queue: the box the API publishes to",
    ),
    Setting(
        name="RTB_SEED_COUNT",
        attribute="seed_count",
        flag="--seed-count",
        default="100",
        parse=parsing.whole(0, 1_000_000),
        roles=_API,
        help="units that a first start on an empty database creates; 0 for none",
    ),
    Setting(
        name="RTB_ACCOUNTS",
        attribute="accounts",
        flag="--accounts",
        default="open",
        parse=parsing.choice("open", "closed"),
        roles=_API,
        help="closed: orders are taken only for accounts that POST /accounts/NAME made",
    ),
    Setting(
        name="RTB_RETENTION",
        attribute="retention",
        flag="--retention",
        default="all",
        parse=read_retention,
        roles=_API,
        help="how long units and history of a settled order are kept, for example 30d; all: for "
        "ever. The order itself stays, with its counts",
    ),
    Setting(
        name="RTB_EPOCH",
        attribute="epoch",
        flag="--epoch",
        default="10",
        parse=parsing.seconds(0.2, 3600),
        roles=_API | _LEADER,
        help="seconds between barriers; a unit nobody vouches for in three is taken back",
    ),
    Setting(
        name="RTB_DRAIN_TIMEOUT",
        attribute="drain_timeout",
        flag="--drain-timeout",
        default="8",
        parse=parsing.seconds(0, 10_000_000),
        roles=_AGENT | _LEADER,
        help="seconds that running units get to finish when the agent stops; "
        "0 for as long as they need",
    ),
    Setting(
        name="RTB_AGENT_SLOTS",
        attribute="agent_slots",
        flag="--agent-slots",
        default="8",
        parse=parsing.whole(1, 10_000),
        roles=_AGENT | _LEADER,
        help="units that the agent runs at a time",
    ),
    Setting(
        name="RTB_AGENT_NAME",
        attribute="agent_name",
        flag="--agent-name",
        default_says="the host's name",
        parse=parsing.label,
        roles=_AGENT,
        help="label of the agent, for people to read",
    ),
    Setting(
        name="RTB_WORKLOADS",
        attribute="workloads",
        flag="--workloads",
        default="default=coinflip",
        parse=parsing.workloads,
        roles=_AGENT | _LEADER,
        help="what the agent can run: NAME=SPEC, separated by ';' or new lines; SPEC is coinflip, "
        "coinflip:error=0.1,seconds=0.2, noop, command:ARGV or python:MODULE:FUNCTION",
    ),
    Setting(
        name="RTB_ADMIN_LISTEN",
        attribute="admin_listen",
        flag="--admin-listen",
        default_says="none",
        parse=parsing.endpoint,
        roles=_ALL,
        help="where the role shows /livez, /readyz and /metrics: a Twisted server endpoint",
    ),
    Setting(
        name="RTB_LOG_FORMAT",
        attribute="log_format",
        flag="--log-format",
        default="text",
        parse=parsing.choice("text", "json"),
        roles=_ALL,
        help="how the log is written: text, or json for an object a line",
    ),
    Setting(
        name="RTB_LOG_LEVEL",
        attribute="log_level",
        flag="--log-level",
        default="info",
        parse=parsing.choice("debug", "info", "warn", "error"),
        roles=_ALL,
        help="least level that is logged: debug, info, warn or error",
    ),
    *launching.LAUNCHING,
    Setting(
        name="RTB_FAILPOINT",
        attribute="failpoint",
        flag="--failpoint",
        default_says="none",
        parse=failpoint.read,
        roles=_ALL,
        help="for tests only: POINT:CHANCE, separated by commas; the process ends as if killed, "
        "or loses a message, when it comes to one",
    ),
)
