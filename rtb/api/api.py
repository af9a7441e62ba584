"""The API: the only role that writes the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rtb.api.applier import Applier
from rtb.api.depths import Depths
from rtb.api.desk import Desk
from rtb.api.dispatcher import Dispatcher
from rtb.api.epochs import Epochs
from rtb.api.follower import Follower
from rtb.api.herald import Herald
from rtb.api.inbox import Inbox
from rtb.api.intake import Intake
from rtb.api.lineage import Lineage
from rtb.api.live.bell import Bell
from rtb.api.live.service import LOST_EPOCHS, Live
from rtb.api.metrics import ApiMetrics, Tally
from rtb.api.opening import Opening
from rtb.api.retention import Pruner
from rtb.api.web.desk import READY
from rtb.api.web.listening import Listening
from rtb.api.web.site import make_site
from rtb.broker import BrokerClient, BrokerUnavailable
from rtb.broker.post import Post
from rtb.broker.topology import Queue, box
from rtb.ledger import Books, Outlook, PageReads, Pruning, Reads, Verbs
from rtb.model.names import new_incarnation
from rtb.settings import Settings

__all__ = ["Api"]

#: Seconds that what is under way may take to be committed when the API ends.
_COMMIT_LIMIT = 2.0


class Api(MultiService):
    """Listens to people at once, and to leaders and agents when the ledger is open.

    :param client: shared by the roles of this process
    :param random: incarnations and jitter
    """

    _log = Logger()

    def __init__(
        self, reactor: Any, settings: Settings, client: BrokerClient, random: Random
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._client = client
        incarnation = new_incarnation(random.randbytes)
        post = Post(incarnation)
        self._opening = Opening(reactor, settings)
        self._books = Books(
            reactor,
            settings.db,
            key=random.getrandbits(31),
            random=random.random,
            tables_gone=self._opening.again,
        )
        self._reads = Reads(reactor, settings.db, self._opening.again)
        herald = self._herald = Herald(reactor, client, self._books, post)
        bell = Bell()
        tally = Tally()
        self._dispatcher = Dispatcher(reactor, client, self._books, post, bell.ring, tally)
        self._verbs = Verbs(reactor, settings.db, self._opening.again)
        self._outlook = Outlook(reactor, settings.db, self._opening.again)
        self._follower = Follower(reactor, self._verbs, self._dispatcher, herald)
        self._intake = Intake(reactor, settings.db, self._follower.kick)
        self._lineage = Lineage(self._books)
        applier = Applier(
            client,
            self._books,
            post,
            self._dispatcher,
            herald,
            self._follower,
            self._lineage,
            bell.ring,
            tally,
            reactor.seconds,
        )
        self._inbox = Inbox(reactor, client, self._books, post, applier)
        self._epochs = Epochs(reactor, client, self._lineage, post, settings.epoch)
        pruning = Pruning(reactor, settings.db, self._opening.again)
        self._pruner = Pruner(reactor, pruning, settings.retention)
        where = f"http://{settings.api_host}"
        desk = Desk(
            self._opening,
            self._books,
            self._reads,
            self._verbs,
            self._outlook,
            self._dispatcher,
            herald,
            self._follower,
            self._intake,
            bell.ring,
            self._forget_queues,
            where,
            settings.accounts == "closed",
        )
        page_reads = PageReads(reactor, settings.db, self._opening.again)
        depths = Depths(client, reactor.seconds)
        self._live = Live(
            reactor,
            page_reads,
            self._parts,
            bell,
            depths,
            epoch=settings.epoch,
            mark=incarnation,
        )
        #: What it and the process around it are, in numbers.
        self.metrics = ApiMetrics(
            page_reads,
            tally,
            self._live.feed,
            depths,
            reactor.seconds,
            LOST_EPOCHS * settings.epoch,
        )
        site = make_site(
            desk, self._live.feed, self.readiness, self.metrics, settings, reactor, random
        )
        self._web = Listening(reactor, settings.api_listen, site)
        self._opening.setServiceParent(self)
        self._live.setServiceParent(self)

    def privilegedStartService(self) -> None:
        """Open the port.

        :raises ConfigurationError: it cannot be had
        """
        super().privilegedStartService()
        self._web.privilegedStartService()

    def startService(self) -> None:
        """Answer people now, work when the ledger is open."""
        super().startService()
        self._web.startService()
        self._opening.when_open().addCallback(self._opened).addErrback(self._failed)

    async def _stop(self) -> None:
        # Nothing new comes in; what is under way is committed; then the connections close.
        await self._web.stopService()
        await self._live.disownServiceParent()
        self._herald.stop()
        working = [
            service
            for service in (
                self._intake,
                self._epochs,
                self._inbox,
                self._follower,
                self._pruner,
                self._dispatcher,
            )
            if service.running
        ]
        stopped = DeferredList([maybeDeferred(service.stopService) for service in working])
        # A frozen ledger does not hold it up: what is not committed is delivered again.
        stopped.addTimeout(_COMMIT_LIMIT, self._reactor)
        await stopped.addErrback(self._uncommitted)
        await super().stopService()
        self._books.close()
        self._reads.close()
        self._verbs.close()
        self._outlook.close()

    def stopService(self) -> Deferred[None]:
        """Finish what is under way."""
        return Deferred.fromCoroutine(self._stop())

    def _uncommitted(self, failure: Failure) -> None:
        why = failure.getErrorMessage() or "it took too long"
        self._log.warn("ends without waiting for the ledger: {why}", why=why)

    def _opened(self, _: None) -> None:
        if not self.running:
            return
        self._inbox.startService()
        self._dispatcher.startService()
        self._follower.startService()
        self._intake.startService()
        self._epochs.startService()
        self._pruner.startService()
        self._client.on_session(self._inbox.began)

    async def _forget_queues(self, name: str) -> None:
        session = self._client.session
        if session is None:
            raise BrokerUnavailable("not connected: the queues of the box are still there")
        for thing in box(name):
            if isinstance(thing, Queue):
                await session.delete(thing.name)

    def _parts(self) -> Mapping[str, str]:
        """Say how each thing is that it needs, as far as that is known without asking."""
        publishing, consuming = self._client.status()
        return {
            "ledger": self._opening.problem or self._lineage.problem or READY,
            "broker": publishing.problem or consuming.problem or READY,
            "inbox": self._inbox.problem or READY,
        }

    async def readiness(self) -> Mapping[str, str]:
        """Say how each thing is that it needs; asks the ledger."""
        parts = self._parts()
        return {**parts, "ledger": await self._reads.problem() or parts["ledger"]}

    def _failed(self, failure: Failure) -> None:
        self._log.failure("the API did not start", failure)
