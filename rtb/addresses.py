"""Where the servers are: host and port, database and broker, read from one line of text.

Each value shows its password to nobody: not in ``repr``, not in ``str``.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import attrs

__all__ = ["Broker", "Database", "HostPort", "read_amqp_url", "read_database_url", "read_host_port"]

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})\Z|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\Z")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::(.*))?\Z")


def _masked(secret: str) -> str:
    return "'***'" if secret else "''"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@attrs.frozen
class HostPort:
    """A host and a port of it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"


@attrs.frozen
class Database:
    """Where the ledger is, and as whom to open it."""

    host: str = "postgres"
    port: int = 5432
    user: str = "postgres"
    password: str = attrs.field(default="", repr=_masked)
    name: str = "postgres"
    sslmode: str = "prefer"

    @property
    def where(self) -> str:
        """Host and port, as log lines name it."""
        return str(HostPort(self.host, self.port))

    def __str__(self) -> str:
        secret = ":***" if self.password else ""
        who = f"{quote(self.user, safe='')}{secret}"
        return f"postgresql://{who}@{self.where}/{quote(self.name)}?sslmode={self.sslmode}"


@attrs.frozen
class Broker:
    """Where RabbitMQ is, and as whom to connect."""

    host: str = "rabbit"
    port: int = 5672
    user: str = "guest"
    password: str = attrs.field(default="guest", repr=_masked)
    vhost: str = "/"
    tls: bool = False

    @property
    def where(self) -> str:
        """Host and port, as log lines name it."""
        return str(HostPort(self.host, self.port))

    @property
    def url(self) -> str:
        """The whole address, with the password: for a child process, never for people."""
        return self._url(quote(self.password, safe=""))

    def __str__(self) -> str:
        return self._url("***")

    def _url(self, password: str) -> str:
        who = f"{quote(self.user, safe='')}:{password}"
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{who}@{self.where}/{quote(self.vhost, safe='')}"


def read_host_port(text: str, default_port: int) -> HostPort:
    """Return the host and port that *text* names.

    :raises ValueError: what is allowed instead
    """
    allowed = f"must be HOST:PORT, for example localhost:{default_port}"
    bracketed = _BRACKETED.match(text)
    if bracketed:
        host, port = bracketed.group(1), bracketed.group(2)
    elif text.count(":") > 1:
        raise ValueError(f"{allowed}; write an IPv6 address in brackets: [::1]:{default_port}")
    else:
        host, _, rest = text.partition(":")
        port = rest if ":" in text else None
    if not _HOST.match(host):
        raise ValueError(allowed)
    return HostPort(host, default_port if port is None else _port(port, allowed))


def _port(text: str, allowed: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(f"{allowed}, with a port from 1 to 65535")
    return int(text)


def read_database_url(text: str) -> Database:
    """Return the database that a ``postgresql://`` URL names.

    :raises ValueError: what is allowed instead
    """
    allowed = "must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE"
    url = _split(text, ("postgresql", "postgres"), allowed)
    where = read_host_port(_authority(url), 5432)
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    sslmode = options.pop("sslmode", "prefer")
    if options:
        raise ValueError(f"{allowed}; {', '.join(sorted(options))[:80]} is not known there")
    if sslmode not in SSL_MODES:
        raise ValueError(f"{allowed}, where MODE is one of {', '.join(SSL_MODES)}")
    name = unquote(url.path.removeprefix("/"))
    if "/" in name:
        raise ValueError(allowed)
    user = unquote(url.username or "") or "postgres"
    return Database(
        host=where.host,
        port=where.port,
        user=user,
        password=unquote(url.password or ""),
        name=name or user,
        sslmode=sslmode,
    )


def read_amqp_url(text: str) -> Broker:
    """Return the broker that an ``amqp://`` or ``amqps://`` URL names.

    :raises ValueError: what is allowed instead
    """
    allowed = "must be amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps:// for TLS)"
    url = _split(text, ("amqp", "amqps"), allowed)
    tls = url.scheme == "amqps"
    where = read_host_port(_authority(url), 5671 if tls else 5672)
    path = url.path.removeprefix("/")
    if "/" in path or url.query:
        raise ValueError(f"{allowed}; a '/' within VHOST is written %2F")
    return Broker(
        host=where.host,
        port=where.port,
        user="guest" if url.username is None else unquote(url.username),
        password="guest" if url.password is None else unquote(url.password),
        vhost=unquote(path) or "/",
        tls=tls,
    )


def _split(text: str, schemes: tuple[str, ...], allowed: str) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise ValueError(allowed)
    try:
        url = urlsplit(text)
    except ValueError:
        # Its own words may quote the URL, and with it the password.
        raise ValueError(allowed) from None
    if url.scheme not in schemes or url.fragment or not url.netloc:
        raise ValueError(
            f"{allowed}; '/', '?', '#' and '@' in a password are written %2F %3F %23 %40"
        )
    return url


def _authority(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]
