"""Books one flush of the inbox: moves first, then what a barrier or a first report brings.

Whoever calls guarantees that flushes come one after the other, in delivery order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rtb import failpoint
from rtb.api.dispatcher import Dispatcher
from rtb.api.follower import Follower
from rtb.api.herald import Herald
from rtb.api.lineage import Lineage
from rtb.api.metrics import Tally
from rtb.api.patience import Patience
from rtb.broker import BrokerClient
from rtb.broker.post import Post
from rtb.ledger import (
    BadDataError,
    Books,
    Forsaken,
    LedgerUnavailableError,
    TooSlowError,
    Verdict,
)
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move, fold
from rtb.model.wire import Barrier, Report, Status, StatusKind, UnitKey

__all__ = ["Applier"]

Said = Report | Status | Barrier
#: An event that the ledger refused, as JSON, and why.
Dead = tuple[bytes, str]


class Applier:
    """Turns messages into moves, and moves into books.

    :param committed: called after each flush
    :param seconds: a steady clock
    """

    _log = Logger()

    def __init__(
        self,
        client: BrokerClient,
        books: Books,
        post: Post,
        dispatcher: Dispatcher,
        herald: Herald,
        follower: Follower,
        lineage: Lineage,
        committed: Callable[[], None],
        tally: Tally,
        seconds: Callable[[], float],
    ) -> None:
        self._client = client
        self._books = books
        self._post = post
        self._dispatcher = dispatcher
        self._herald = herald
        self._follower = follower
        self._lineage = lineage
        self._committed = committed
        self.tally = tally
        #: The current incarnation of each box, as far as this applier has met it.
        self._leaders: dict[str, str] = {}
        self.patience = Patience(seconds)

    async def ask_for_orphans(self) -> None:
        """Look, behind all that waits in the inbox, for what gone APIs claimed and never sent."""
        ledger, _ = await self._books.epoch()
        await self._client.publish_surely(self._post.barrier(Barrier(ledger=ledger, epoch=0)))

    def began(self) -> None:
        """Another applier may have been at work meanwhile: what was known is to be learnt anew."""
        self._leaders.clear()
        self.patience.clear()

    async def apply(self, messages: Sequence[Said], *, can_wait: bool = False) -> list[Dead]:
        """Book *messages*; return the single events that the ledger refuses for ever.

        :param can_wait: what is only queued may be left for a later flush

        :raises LedgerError: nothing, or not all, was booked; the same again is safe
        """
        self._stop_if_restored()
        reports = [message for message in messages if isinstance(message, Report)]
        groups = [
            (ledger, list(group)) for ledger, group in groupby(messages, lambda said: said.ledger)
        ]
        dead: list[Dead] = []
        if self.patience and (
            not groups
            or groups[0][0] != self.patience.ledger
            # What an earlier leader said counts only while it leads.
            or any(self._leaders.get(report.box) != report.leader for report in reports)
        ):
            waits = list(self.patience.waiting.values())
            _, dead = await self._turn(self.patience.ledger, waits, None)
            self.patience.keep_none("")
        current, along = await self._book_states(reports)
        failpoint.hit("a7")
        closed: dict[str, list[UnitKey]] = defaultdict(list)
        if any(isinstance(message, Status) for message in messages):
            self.patience.stir()
        can_wait = can_wait and len(groups) == 1 and not self.patience.is_quiet
        for number, (ledger, group) in enumerate(groups):
            said = [
                message
                for message in group
                if isinstance(message, Status)
                or (isinstance(message, Report) and message.leader in current)
            ]
            moves, stale = fold(said, self.patience.waiting if number == 0 else {})
            self.tally.stale += stale
            later: list[Move] = []
            if can_wait:
                moves, later = self.patience.sort(moves)
            elif number == 0:
                moves = self.patience.all_with(moves)
            verdicts, bad = await self._turn(ledger, moves, along)
            along = None
            dead += bad
            if gone := {verdict.key for verdict in verdicts if not verdict.open}:
                _note_closed(closed, gone, moves, reports)
            if can_wait:
                self.patience.keep(ledger, moves, later)
        if not can_wait:
            self.patience.keep_none(groups[-1][0] if groups else "")
        await self._conclude(messages[-1] if messages else None)
        refused = {(report.box, report.leader) for report in reports} - {
            (report.box, report.leader) for report in reports if report.leader in current
        }
        await self._answer(messages, closed, refused)
        return dead

    async def _turn(
        self, ledger: str, moves: list[Move], along: Report | None
    ) -> tuple[list[Verdict], list[Dead]]:
        """Apply *moves* and, where they free places, claim for them in the same transaction."""
        frees = any(move.kind not in (None, Kind.QUEUED) for move in moves)
        if frees and (most := self._dispatcher.begins()):
            try:
                turning = Deferred.fromCoroutine(self._books.turn(ledger, moves, along, most))
                failpoint.hit("a5")
                failpoint.hit("a8")
                verdicts, claim = await turning
            except (BadDataError, TooSlowError):
                pass  # one of them is bad, or they are too many: piece by piece, without a claim
            else:
                await self._look_ahead(ledger, verdicts, moves)
                self._dispatcher.claimed(claim)
                return verdicts, self._judge(ledger, moves, verdicts)
        verdicts, dead = await self._move(ledger, moves, along)
        await self._look_ahead(ledger, verdicts, moves)
        self._dispatcher.kick()
        return verdicts, dead

    async def _look_ahead(
        self, ledger: str, verdicts: Sequence[Verdict], moves: Iterable[Move]
    ) -> None:
        """A leader names only what was claimed: an attempt unknown here was claimed in a future."""
        strange = {verdict.key for verdict in verdicts if not verdict.known}
        if not strange:
            return
        for move in moves:
            if move.holder is not None and move.key in strange:
                await self._lineage.doubt(ledger, f"leader {move.holder} holds {move.key}")
                self._stop_if_restored()

    def _stop_if_restored(self) -> None:
        if self._lineage.problem:
            raise LedgerUnavailableError(self._lineage.problem)

    async def _answer(
        self,
        messages: Sequence[Said],
        closed: dict[str, list[UnitKey]],
        refused: set[tuple[str, str]],
    ) -> None:
        """Say the state to whoever reported everything, vouched for itself, named the closed.

        And to a leader that was refused: it may hold the lock of its box all the same, where the
        late first word of an earlier life came after its own.
        """
        boxes = {
            message.box
            for message in messages
            if (
                isinstance(message, Report) and (message.full or message.asks or not message.ledger)
            )
            or (isinstance(message, Status) and message.kind == StatusKind.HOLDING)
        }
        for box in sorted(boxes | set(closed) | {box for box, _ in refused}):
            leaders = [leader for whose, leader in sorted(refused) if whose == box]
            answered = [
                message.number
                for message in messages
                if isinstance(message, Report)
                and message.box == box
                and message.leader == self._leaders.get(box)
            ]
            await self._herald.say(box, closed[box], leaders, answered)

    def flushed(self, units: int) -> None:
        """A flush was committed: somebody may watch."""
        self._committed()
        self.tally.flushed(units)

    async def _book_states(self, reports: Iterable[Report]) -> tuple[set[str], Report | None]:
        """Book the newest state of every box; return the incarnations whose reports count.

        One report of a leader that is known to lead may be left: it is booked along with the moves.
        """
        newest = {(report.box, report.leader): report for report in reports}
        full = {
            (report.box, report.leader): report
            for report in reports
            if report.full and report.part == report.parts
        }
        current: set[str] = set()
        along: Report | None = None
        for whose, report in newest.items():
            if along is None and whose not in full and self._leaders.get(report.box) == whose[1]:
                along = report
                current.add(report.leader)
            elif await self._book_state(report):
                current.add(report.leader)
                if whose in full and full[whose] is not report:
                    await self._books.report(full[whose])
        return current, along

    async def _book_state(self, report: Report) -> bool:
        if await self._books.report(report):
            self._leaders[report.box] = report.leader
            return True
        leader = await self._books.adopt(report)
        if leader != report.leader:
            self._log.info(
                "box {box}: {leader} no longer leads", box=report.box, leader=report.leader
            )
            return False
        self._leaders[report.box] = leader
        self._log.info("box {box} is led by {leader}", box=report.box, leader=leader)
        return await self._books.report(report)

    async def _move(
        self, ledger: str, moves: list[Move], along: Report | None = None
    ) -> tuple[list[Verdict], list[Dead]]:
        """Apply *moves*; where the ledger refuses a value, halve until it stands alone."""
        if not moves and along is None:
            return [], []
        try:
            applying = Deferred.fromCoroutine(self._books.apply(ledger, moves, along))
            failpoint.hit("a8")
            verdicts = await applying
        except (BadDataError, TooSlowError) as problem:
            if len(moves) <= 1:
                if not moves or isinstance(problem, TooSlowError):
                    raise
                self.tally.malformed += 1
                return [], [(_event(ledger, moves[0]), str(problem))]
            half = len(moves) // 2
            first, first_dead = await self._move(ledger, moves[:half])
            second, second_dead = await self._move(ledger, moves[half:])
            return first + second, first_dead + second_dead
        return verdicts, self._judge(ledger, moves, verdicts)

    def _judge(self, ledger: str, moves: list[Move], verdicts: list[Verdict]) -> list[Dead]:
        odd = {verdict.key: verdict for verdict in verdicts}
        dead: list[Dead] = []
        as_said = [move for move in moves if move.key not in odd] if odd else moves
        booked = Counter(move.kind for move in as_said if move.kind is not None)
        ran = [move.ran for move in as_said if move.ran is not None]
        for move in moves if odd else ():
            verdict = odd.get(move.key)
            if verdict is None:
                continue
            kind = verdict.applied
            if kind is not None:
                booked[kind] += 1
                ran += [] if move.ran is None else [move.ran]
            if not verdict.known:
                self.tally.unknown += 1
                dead.append((_event(ledger, move), "no such unit, or no such attempt of it"))
            elif kind is None and not (
                move.kind is None or (move.kind is Kind.QUEUED and verdict.open)
            ):  # else it was only vouched for
                self.tally.stale += 1
            if verdict.delayed:
                self._dispatcher.retry_later()
        self.tally.booked(booked, ran)
        return dead

    async def _conclude(self, message: Said | None) -> None:
        """Do what the last message of a flush asks for, when all before it is booked."""
        if isinstance(message, Barrier):
            if message.epoch:
                await self._books.end_epoch(message.ledger, message.epoch)
                self._follower.kick()
                failpoint.hit("a11")
            await self._give_up(await self._books.forsaken(), Kind.RESCUED)
        elif isinstance(message, Report) and message.first and message.part == message.parts:
            await self._give_up(
                await self._books.unnamed(message.box, message.leader), Kind.RESCUED
            )

    async def _give_up(self, forsaken: Sequence[Forsaken], kind: Kind) -> None:
        if forsaken:
            failpoint.hit("a10")
        for ledger, group in groupby(forsaken, key=lambda row: row[0]):
            moves = [Move.giving_up(key, kind, why) for _, key, why in group]
            self._log.warn("{units} units rescued: {why}", units=len(moves), why=moves[0].why)
            await self._move(ledger, moves)


def _note_closed(
    closed: dict[str, list[UnitKey]],
    gone: set[UnitKey],
    moves: Iterable[Move],
    reports: Iterable[Report],
) -> None:
    """Note which attempts that a box reported are closed, for it to drop them."""
    for report in reports:
        closed[report.box] += [key for key in report.units if key in gone]
    for move in moves:  # reported earlier
        if move.kind is Kind.QUEUED and move.key in gone and move.key not in closed[move.who]:
            closed[move.who].append(move.key)


def _event(ledger: str, move: Move) -> bytes:
    return msgspec.json.encode({"ledger": ledger, "event": move})
