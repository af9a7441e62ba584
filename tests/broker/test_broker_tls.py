"""amqps: a TLS listener with a certificate of the test's own, in front of the real broker."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.defer import DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.logger import LogEvent, globalLogPublisher

from rtb.settings import Broker
from tests.broker.support import Connect, Sessions, message, read

#: Of Twisted's own making, on the listening side.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


def certificate() -> bytes:
    """Return a key and a certificate that it signed itself, for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + made.public_bytes(pem)


class Onward(Protocol):
    """The plain side of a forwarded connection."""

    def __init__(self, front: Protocol) -> None:
        self.front = front

    def dataReceived(self, data: bytes) -> None:
        assert self.front.transport is not None
        self.front.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        assert self.front.transport is not None
        self.front.transport.loseConnection()


class Front(Protocol):
    """The TLS side of a forwarded connection."""

    def __init__(self, endpoint: TCP4ClientEndpoint) -> None:
        self.onward = connectProtocol(endpoint, Onward(self))

    def dataReceived(self, data: bytes) -> None:
        def write(onward: Onward) -> Onward:
            onward.transport.write(data)
            return onward

        self.onward.addCallback(write)

    def connectionLost(self, reason: Any = None) -> None:
        self.onward.addCallback(lambda onward: onward.transport.loseConnection())


@pytest.fixture
def tls(reactor: Any, vhost: Broker, tmp_path: Path) -> Iterator[tuple[Broker, Path]]:
    """The broker behind TLS, and the file with what one must trust for it."""
    pem = certificate()
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(pem)
    port = reactor.listenSSL(
        0,
        Factory.forProtocol(lambda: Front(TCP4ClientEndpoint(reactor, vhost.host, vhost.port))),
        PrivateCertificate.loadPEM(pem).options(),
        interface="127.0.0.1",
    )
    yield attrs.evolve(vhost, host="localhost", port=port.getHost().port, tls=True), trusted
    port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_message_goes_round(
    connect: Connect, tls: tuple[Broker, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, trusted = tls
    # Where OpenSSL looks for what this machine trusts.
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    client = connect(broker)
    session = await Sessions(client).next()
    await client.when_ready()
    reader = await read(session, "inbox")
    await client.publish(message("barrier", 1))
    (delivery,) = await reader.take(1)
    delivery.ack()
    await client.stopService()


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_nobody_trusts(connect: Connect, tls: tuple[Broker, Path]) -> None:
    warned: DeferredQueue[str] = DeferredQueue()

    def observe(event: LogEvent) -> None:
        if "problem" in event:
            warned.put(event["problem"])

    globalLogPublisher.addObserver(observe)
    client = connect(tls[0])
    words = await warned.get()
    globalLogPublisher.removeObserver(observe)
    assert "is it the port for amqps, and its certificate one that this machine trusts?" in words
    await client.stopService()
