"""Servers that are neither there nor gone: frozen, full, or emptied under a running line."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pika
import pytest
import pytest_twisted
from line_support import Line, order
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThreadPool

ensure = pytest_twisted.ensureDeferred
#: Seconds that the reactor of a test on a busy machine may add to an answer's 2.
_MARGIN = 1.0
_ASKED = [
    *(("GET", path) for path in ("/", "/next", "/orders", "/orders/1", "/fair", "/readyz")),
    ("POST", "/go/"),
]


def _is_private(line: Line, sandbox: Any, vhost: Any) -> bool:
    return bool(line.database.port == sandbox.postgres.port and vhost.port == sandbox.rabbit.port)


async def _ask(line: Line, method: str, path: str) -> tuple[str, int, bool, float]:
    began = line.reactor.seconds()
    code, headers, _ = await line.fetch(method, path)
    return path, code, "retry-after" in headers, line.reactor.seconds() - began


@pytest.mark.parametrize("server", ["postgres", "rabbit"])
@ensure
async def test_frozen(line: Line, sandbox: Any, vhost: Any, server: str) -> None:
    """Window 27 and T9: answers within 2 s, and SIGTERM still ends every role."""
    if not _is_private(line, sandbox, vhost):
        pytest.skip("freezes servers, so it needs private ones")
    roles = [line.start(role) for role in ("rtb-api", "rtb-leader", "rtb-agent")]
    await line.until_led()
    await line.client.place(order(500))
    await line.client.go()
    await line.until(lambda summary: summary.units.settled > 5)
    process = getattr(sandbox, server).process
    process.pause()
    try:
        answers = await gatherResults(
            [Deferred.fromCoroutine(_ask(line, method, path)) for method, path in _ASKED]
        )
        alive = await _ask(line, "GET", "/livez")
        # An agent waits for the confirms of its last words: their deadline is 10 s.
        codes = [await role.end(within=25.0) for role in reversed(roles)]
    finally:
        process.resume()
    assert alive[1] == 200
    assert [answer for answer in answers if answer[3] > 2.0 + _MARGIN] == []
    wrong = [answer for answer in answers if answer[1] not in (200, 202) and not answer[2]]
    assert wrong == [], "what cannot be answered now says when to ask again"
    if server == "postgres":
        assert {answer[1] for answer in answers} == {503}
    assert codes == [0, 0, 0]
    assert "Traceback" not in line.logs()


async def _delete_queues(line: Line, sandbox: Any, vhost: Any) -> None:
    def delete() -> None:
        parameters = pika.URLParameters(line.environment["RTB_AMQP_URL"])
        with closing(pika.BlockingConnection(parameters)) as connection:
            for name in ("inbox", "outbox", "outbox.track"):
                connection.channel().queue_delete(name)

    await deferToThreadPool(line.reactor, line.reactor.getThreadPool(), delete)


async def _wipe(line: Line, sandbox: Any, vhost: Any) -> None:
    await sandbox.rabbit.remove_vhost(vhost.vhost)
    await sandbox.rabbit.add_vhost(vhost.vhost)


async def _alarm(line: Line, sandbox: Any, vhost: Any) -> None:
    await sandbox.rabbit.control("set_vm_memory_high_watermark", "0")
    await sandbox.rabbit.control("set_vm_memory_high_watermark", "0.4")


@pytest.mark.parametrize("fault", [_delete_queues, _wipe, _alarm])
@ensure
async def test_a_broker_that_loses_or_refuses(
    line: Line, sandbox: Any, vhost: Any, fault: Any
) -> None:
    """Windows 6, 8 and 36: it costs time, never a unit."""
    if not _is_private(line, sandbox, vhost):
        pytest.skip("harms the broker, so it needs a private one")
    for role in ("rtb-api", "rtb-leader", "rtb-agent"):
        line.start(role)
    await line.until_led()
    await line.client.place(order(300))
    await line.client.go()
    await line.until(lambda summary: summary.units.settled > 20)
    await fault(line, sandbox, vhost)
    await line.until_settled(300)
    await line.end()
    line.check()
