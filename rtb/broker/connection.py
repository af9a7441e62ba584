"""The life of one connection to the broker: a machine that keeps it up until it is stopped.

Twisted's ``ClientService`` is not used on purpose: when TCP drops while its preparation is
pending it has no transition for that, and a preparation that never fires keeps it from ever
trying again. Here the AMQP handshake and the declaring of the topology are a state of their own,
``Handshaking``, with its own deadline.

A connection that once existed is only ever left through ``_lost``: there is no second attempt
before the socket of the first is gone, so no late event can be taken for one of the next attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from automat import TypeMachineBuilder
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.broker.address import Address, endpoint, explain_connect, where
from rtb.broker.backoff import Backoff
from rtb.broker.protocol import AmqpProtocol
from rtb.errors import RtbError

__all__ = ["Connection", "Use"]

#: From TCP's connection until everything is declared (seconds).
HANDSHAKE_DEADLINE = 10.0
#: How long the confirms that are still missing may hold up a stop (seconds).
DRAIN_DEADLINE = 4.0
#: How long the broker may take to answer the end of a connection (seconds).
FINISH_DEADLINE = 0.4
#: A connection that lived shorter counts as a failed try, so that one which the broker or a role
#: ends again and again is not made again in a busy loop (seconds).
_PROVEN = 5.0

_log = Logger()


class Use(Protocol):
    """What a connection is for."""

    def prepare(self, protocol: AmqpProtocol) -> Deferred[None]:
        """Do what must be done before the connection counts as ready."""

    def ready(self, protocol: AmqpProtocol) -> None:
        """The connection is ready."""

    def drained(self) -> Deferred[None]:
        """Fire when nothing is under way any more."""

    def lost(self, problem: str) -> None:
        """The connection is of no use any more, or an attempt to make one failed; may be said
        twice of the same."""

    def changed(self) -> None:
        """The state or the problem is another one."""


class _Connection(Protocol):
    """The inputs of the machine."""

    def start(self) -> None:
        """Connect, and stay connected."""

    def stop(self) -> None:
        """Let go, after what is under way; for good."""

    def drop(self, problem: str) -> None:
        """Cut this connection because it is of no use, and make a new one."""

    def leave(self, problem: str) -> None:
        """End this connection in order, and make a new one."""

    def _connected(self, protocol: AmqpProtocol) -> None:
        """TCP (and TLS) stands."""

    def _failed(self, problem: str) -> None:
        """There is no TCP connection."""

    def _prepared(self) -> None:
        """The handshake is done and everything declared."""

    def _unprepared(self, problem: str) -> None:
        """The handshake or a declaration failed, or took too long."""

    def _drained(self) -> None:
        """Nothing is under way any more, or it takes too long."""

    def _lost(self, problem: str) -> None:
        """The socket is gone."""

    def _again(self) -> None:
        """It is time for the next attempt."""


@dataclass
class _Core:
    # required parameters
    reactor: Any
    address: Address
    name: str
    use: Use
    backoff: Backoff

    # internal state
    state: str = "Idle"
    since: float = 0.0
    problem: str = ""
    protocol: AmqpProtocol | None = None
    #: The attempt to connect, then the preparation.
    under_way: Deferred[Any] = field(default_factory=lambda: succeed(None))
    timer: IDelayedCall | None = None
    stopping: list[Deferred[None]] = field(default_factory=list)

    def enter(self, state: str) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        now = self.reactor.seconds()
        if self.state == "Ready" and now - self.since >= _PROVEN:
            self.backoff.reset()
        self.state, self.since = state, now
        _log.debug("{name}: {state}", name=self.name, state=state)
        self.use.changed()

    def after(self, delay: float, then: Callable[..., None], *arguments: object) -> None:
        """Call *then* unless the state is left before."""
        self.timer = self.reactor.callLater(delay, then, *arguments)

    def abort(self, problem: str) -> None:
        if self.protocol is not None:
            self.protocol.abort(problem)

    def finish(self) -> None:
        assert self.protocol is not None
        self.after(FINISH_DEADLINE, self.abort, "the broker does not answer the farewell")
        self.protocol.finish()

    def fail(self, problem: str) -> None:
        self.problem = problem
        self.use.lost(problem)

    def blocked(self, why: str) -> None:
        self.problem = why
        self.use.changed()


# What is done on entering a state; the parameters are those of the inputs that lead to it.


def _connecting(c: _Connection, s: _Core) -> None:
    s.enter("Connecting")
    way: IStreamClientEndpoint = endpoint(s.reactor, s.address)
    s.under_way = way.connect(
        Factory.forProtocol(lambda: AmqpProtocol(s.reactor, s.address, s.name))
    )
    s.under_way.addCallbacks(
        c._connected, lambda why: c._failed(explain_connect(s.address, why.value))
    )


def _handshaking(c: _Connection, s: _Core, protocol: AmqpProtocol) -> None:
    s.enter("Handshaking")
    s.protocol = protocol
    protocol.watch(c._lost, s.blocked)
    s.after(
        HANDSHAKE_DEADLINE,
        c._unprepared,
        f"{where(s.address)} accepts connections and does not finish the AMQP handshake "
        f"in {HANDSHAKE_DEADLINE:g} s: is it RabbitMQ's port, and is RabbitMQ well?",
    )
    s.under_way = protocol.opened.addCallback(s.use.prepare)
    s.under_way.addCallbacks(lambda _: c._prepared(), lambda why: _not_prepared(c, why))


def _not_prepared(c: _Connection, why: Failure) -> None:
    # Cancelled: this attempt has ended already, for a reason that is known.
    if why.check(CancelledError) is None:
        if why.check(RtbError) is None:
            _log.failure("a connection could not be prepared", failure=why)
        c._unprepared(str(why.value))


def _ready(c: _Connection, s: _Core) -> None:
    s.problem = ""
    assert s.protocol is not None
    # Before the new state is told: whoever waits for it publishes at once.
    s.use.ready(s.protocol)
    s.enter("Ready")


def _dropping(c: _Connection, s: _Core, problem: str) -> None:
    s.fail(problem)
    s.enter("Dropping")
    s.under_way.cancel()
    s.abort(problem)


def _leaving(c: _Connection, s: _Core, problem: str) -> None:
    s.fail(problem)
    s.enter("Leaving")
    s.finish()


def _waiting(c: _Connection, s: _Core, problem: str) -> None:
    # Why it was dropped says more than how the socket then ended.
    s.fail(s.problem if s.state in ("Dropping", "Leaving") else problem)
    s.enter("Waiting")
    s.under_way.cancel()
    s.protocol = None
    s.after(s.backoff.delay(), c._again)


def _draining(c: _Connection, s: _Core) -> None:
    s.enter("Draining")
    s.after(DRAIN_DEADLINE, c._drained)
    s.use.drained().addCallback(lambda _: c._drained())


def _finishing(c: _Connection, s: _Core) -> None:
    s.enter("Finishing")
    s.finish()


def _aborting(c: _Connection, s: _Core) -> None:
    s.enter("Aborting")
    s.under_way.cancel()
    s.abort("stopped")


def _stopped(c: _Connection, s: _Core, problem: str = "") -> None:
    s.enter("Stopped")
    s.protocol = None
    s.use.lost("stopped")
    waiting, s.stopping = s.stopping, []
    for waiter in waiting:
        waiter.callback(None)


def _make_machine() -> Callable[[_Core], _Connection]:
    machine = TypeMachineBuilder(_Connection, _Core)
    C = _Connection  # noqa: N806

    idle = machine.state("Idle")
    connecting = machine.state("Connecting")
    handshaking = machine.state("Handshaking")
    ready = machine.state("Ready")
    dropping = machine.state("Dropping")
    leaving = machine.state("Leaving")
    waiting = machine.state("Waiting")
    draining = machine.state("Draining")
    finishing = machine.state("Finishing")
    aborting = machine.state("Aborting")
    stopped = machine.state("Stopped")

    # The way up.
    idle.upon(C.start).to(connecting)(_connecting)
    connecting.upon(C._connected).to(handshaking)(_handshaking)
    handshaking.upon(C._prepared).to(ready)(_ready)

    # The ways down, and round again.
    connecting.upon(C._failed).to(waiting)(_waiting)
    handshaking.upon(C._unprepared).to(dropping)(_dropping)
    handshaking.upon(C.drop).to(dropping)(_dropping)
    ready.upon(C.drop).to(dropping)(_dropping)
    ready.upon(C.leave).to(leaving)(_leaving)
    leaving.upon(C.drop).to(dropping)(_dropping)
    for up in (handshaking, ready, dropping, leaving):
        up.upon(C._lost).to(waiting)(_waiting)
    waiting.upon(C._again).to(connecting)(_connecting)

    # The end.
    idle.upon(C.stop).to(stopped)(_stopped)
    waiting.upon(C.stop).to(stopped)(_stopped)
    for half in (connecting, handshaking, dropping):
        half.upon(C.stop).to(aborting)(_aborting)
    ready.upon(C.stop).to(draining)(_draining)
    leaving.upon(C.stop).to(finishing).returns(None)
    draining.upon(C._drained).to(finishing)(_finishing)
    draining.upon(C.drop).to(aborting)(lambda c, s, problem: _aborting(c, s))
    for ending in (draining, finishing, aborting):
        ending.upon(C._lost).to(stopped)(_stopped)
    aborting.upon(C._failed).to(stopped)(_stopped)

    # What changes nothing: said twice, or about something that has just ended.
    for state in (connecting, handshaking, ready, dropping, leaving, waiting, draining):
        state.upon(C.start).loop().returns(None)
    for state in (finishing, aborting, stopped):
        state.upon(C.start).loop().returns(None)
        state.upon(C._drained).loop().returns(None)
    for state in (draining, finishing, aborting, stopped):
        state.upon(C.stop).loop().returns(None)
    for state in (idle, connecting, dropping, waiting, finishing, aborting, stopped):
        state.upon(C.drop).loop().returns(None)
    for state in (idle, connecting, handshaking, dropping, leaving, waiting):
        state.upon(C.leave).loop().returns(None)
    for state in (draining, finishing, aborting, stopped):
        state.upon(C.leave).loop().returns(None)
    return machine.build()


_machine = _make_machine()


class Connection:
    """One connection to the broker, kept up between :meth:`start` and :meth:`stop`.

    :param name: how it is called in logs and in the broker's lists
    :param random: for the jitter; 0 <= value < 1
    """

    def __init__(
        self, reactor: Any, address: Address, name: str, use: Use, random: Callable[[], float]
    ) -> None:
        self._core = _Core(reactor, address, name, use, Backoff(random))
        self._machine = _machine(self._core)

    @property
    def name(self) -> str:
        """Its name."""
        return self._core.name

    @property
    def state(self) -> str:
        """The name of its state."""
        return self._core.state

    @property
    def problem(self) -> str:
        """What is wrong, in words; empty when nothing is."""
        return self._core.problem

    def start(self) -> None:
        """Connect, and stay connected."""
        self._machine.start()

    def stop(self) -> Deferred[None]:
        """End the connection after what is under way; fires when its socket is gone.

        A broker that does not answer holds this up no longer than the two deadlines above.
        """
        if self._core.state == "Stopped":
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._core.stopping.append(stopped)
        self._machine.stop()
        return stopped

    def drop(self, problem: str) -> None:
        """Cut this connection and make another one: it is of no use because of *problem*."""
        self._machine.drop(problem)

    def leave(self, problem: str) -> None:
        """End this connection in order (what was sent arrives) and make another one."""
        self._machine.leave(problem)
