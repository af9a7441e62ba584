"""Where the broker is, and what it means, in words, when it cannot be reached or used."""

from __future__ import annotations

from typing import Protocol

from OpenSSL import SSL
from pika.connection import ConnectionParameters
from pika.credentials import PlainCredentials
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

__all__ = [
    "Address",
    "endpoint",
    "explain_close",
    "explain_connect",
    "explain_loss",
    "parameters",
    "where",
]

_HEARTBEAT = 10
#: How long a connection may stay blocked by an alarm of the broker (seconds).
_BLOCKED = 30
_CONNECT_TIMEOUT = 10
#: A name with an IPv6 and an IPv4 address (localhost) must not cost a third of a second per try.
_NEXT_ADDRESS_AFTER = 0.05
_SET_HOST = "set RTB_BROKER_HOST, for example localhost:5672"


class Address(Protocol):
    """A broker, as the settings describe it."""

    @property
    def host(self) -> str:
        """Host name or address."""

    @property
    def port(self) -> int:
        """TCP port."""

    @property
    def user(self) -> str:
        """User name."""

    @property
    def password(self) -> str:
        """Password."""

    @property
    def vhost(self) -> str:
        """Virtual host."""

    @property
    def tls(self) -> bool:
        """Speak TLS (amqps)."""


def where(address: Address) -> str:
    """Return host and port of *address*, for people."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def endpoint(reactor: object, address: Address) -> IStreamClientEndpoint:
    """Return the way to *address*; pika's own host and TLS settings play no part."""
    plain = HostnameEndpoint(
        reactor,
        address.host,
        address.port,
        timeout=_CONNECT_TIMEOUT,
        attemptDelay=_NEXT_ADDRESS_AFTER,
    )
    if not address.tls:
        return plain
    wrapped: IStreamClientEndpoint = wrapClientTLS(optionsForClientTLS(address.host), plain)
    return wrapped


def parameters(address: Address, name: str) -> ConnectionParameters:
    """Return pika's parameters for one connection called *name* in the broker's lists."""
    return ConnectionParameters(
        virtual_host=address.vhost,
        credentials=PlainCredentials(address.user, address.password),
        heartbeat=_HEARTBEAT,
        blocked_connection_timeout=_BLOCKED,
        client_properties={"product": "rtb", "connection_name": name},
    )


def explain_connect(address: Address, problem: BaseException) -> str:
    """Say why there is no connection to *address*, and what to set."""
    match problem:
        case error.DNSLookupError():
            return f"{address.host} unknown: {_SET_HOST}"
        case error.ConnectionRefusedError():
            return f"nothing listens at {where(address)}: start RabbitMQ there, or {_SET_HOST}"
        case error.TimeoutError():
            return f"{where(address)} does not answer: {_SET_HOST}"
        case _:
            return f"{where(address)} cannot be reached ({problem}): {_SET_HOST}"


def explain_close(address: Address, code: int, text: str) -> str:
    """Say what it means that the broker at *address* closed the connection with *code*."""
    if code == 403:
        return (
            f"{where(address)} refuses user {address.user}: wrong user or password; "
            "set them in RTB_AMQP_URL, for example amqp://user:password@host:5672/"
        )
    if code == 530:
        return (
            f"{where(address)} refuses vhost {address.vhost} to user {address.user} ({text}): "
            "make it or set another in RTB_AMQP_URL"
        )
    if code == 320:
        return f"{where(address)} shut down or closed this connection on purpose ({text})"
    return f"{where(address)} closed the connection: {code} {text}"


def explain_loss(address: Address, problem: BaseException, *, opened: bool) -> str:
    """Say what it means that the connection to *address* ended with *problem*."""
    if isinstance(problem, (SSL.Error, VerificationError)):
        return (
            f"TLS with {where(address)} fails ({problem or type(problem).__name__}): "
            "is it the port for amqps, and its certificate one that this machine trusts?"
        )
    if not opened:
        return f"{where(address)} ended the connection before AMQP began: is it RabbitMQ's port?"
    return f"lost the connection to {where(address)}: {problem}"
