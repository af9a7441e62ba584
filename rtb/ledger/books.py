"""What changes the ledger: placing, claiming, applying what was said, epochs.

Lanes keep these apart, so that a long flush does not delay a claim, nor either of them a person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from rtb.ledger.arrays import integers, numbers, texts, truths, words
from rtb.ledger.claim import Claim, read_claim
from rtb.ledger.errors import SchemaError
from rtb.ledger.lane import Lane, OnceOpen, only
from rtb.ledger.placing import placing
from rtb.ledger.queries import QUERIES, Call
from rtb.model.lifecycle import Kind
from rtb.model.moves import Move
from rtb.model.retry import BACKOFF, MAX_LOSSES, jitter
from rtb.model.wire import AgentState, Report, UnitKey

if TYPE_CHECKING:
    from rtb.model.orders import NewOrder
    from rtb.settings import Database

__all__ = ["Books", "BoxState", "Forsaken", "Verdict"]

#: Advisory lock class of the APIs' incarnations.
_API_LOCK = 0x52544202
#: Seconds that a flush or a claim may take, and that what a person waits for may take.
_BULK_LIMIT = 30.0
_PERSON_LIMIT = 2.0


@attrs.frozen
class Verdict:
    """What became of a move that did not simply take effect."""

    key: UnitKey
    #: As booked: a failure too many is an ``error``; None: nothing was applied.
    applied: Kind | None
    #: There is such a unit, and the attempt was given out once; or it is of another ledger.
    known: bool
    #: The attempt was open before this flush.
    open: bool
    #: It will be tried again, after a delay.
    delayed: bool


#: An attempt to give up, with its ledger and the reason.
Forsaken = tuple[str, UnitKey, str]


@attrs.frozen
class BoxState:
    """What a box's leader and agents need to know."""

    ledger_id: str
    leader: str
    going: bool
    backlog: dict[str, int]
    weights: dict[str, float]
    draining: list[str]
    recalled: bool


class Books:
    """The ledger, for the one who writes it.

    :param key: this API's incarnation as the 31-bit key of an advisory lock, which the ``lock``
        lane holds as long as it is connected
    :param random: fractions for jitter
    :param tables_gone: told when a table is missing: somebody made the database anew
    """

    def __init__(
        self,
        reactor: Any,
        database: Database,
        *,
        key: int,
        random: Callable[[], float],
        tables_gone: Callable[[SchemaError], None] = lambda problem: None,
    ) -> None:
        self._random = random
        self._key = key

        def lane(op: str, limit: float, once_open: OnceOpen | None = None) -> Lane:
            return Lane(
                reactor,
                database,
                op=op,
                limit=limit,
                once_open=once_open,
                tables_gone=tables_gone,
            )

        # Claims and flushes move the same counters: on lanes of their own they would wait for each
        # other, in PostgreSQL.
        hold = (QUERIES["lock_api"], {"lock_class": _API_LOCK, "key": key})
        self._moves = lane("move", _BULK_LIMIT, hold)
        # An order of many units may take longer than a person's other wishes, which must not wait.
        self._orders = lane("place", _BULK_LIMIT)
        self._person = lane("change", _PERSON_LIMIT)

    def close(self) -> None:
        """Close all connections."""
        for lane in (self._moves, self._orders, self._person):
            lane.close()

    # ---- people

    async def place(
        self,
        order: NewOrder,
        *,
        key: str | None = None,
        fingerprint: str = "",
        closed: bool = False,
    ) -> dict[str, Any]:
        """Book *order* with all its units; return its id, its units, and whether claims go on.

        :param key: of the client's; a second order with it is not placed
        :param fingerprint: of what was sent with the key
        :param closed: the account must be there already
        :raises RefusedError: placed before, placed at this moment, no such account, over its cap
        """
        rows = await self._orders.run_prepared(placing(order, key, fingerprint, closed))
        answer: dict[str, Any] = msgspec.json.decode(rows[0][0])
        return answer

    async def place_and_claim(
        self,
        order: NewOrder,
        most: int,
        *,
        key: str | None = None,
        fingerprint: str = "",
        closed: bool = False,
    ) -> tuple[dict[str, Any], Claim]:
        """Book *order* as :meth:`place` does, and claim as :meth:`claim` does for any box.

        In one transaction: the first units of an order wait for no second one. It takes its turn
        among claims and flushes, so it is for small orders, while these are idle.
        """
        lock, claim = self._claiming(None, most, placing=True)
        rows = await self._moves.run_prepared(lock, placing(order, key, fingerprint, closed), claim)
        answer: dict[str, Any] = msgspec.json.decode(rows[0][4])
        return answer, read_claim(rows)

    @property
    def is_idle(self) -> bool:
        """Is nothing being claimed, applied or placed at this moment?

        Who places a large order of a new account makes the account first, and a second placing for
        it would wait until the end of the first.
        """
        return self._moves.state == "idle" and self._orders.state != "busy"

    async def set_going(self, going: bool) -> None:
        """Let claims begin, or end."""
        await self._person.run(QUERIES["set_going"], {"going": going})

    async def drain_agent(self, agent: str) -> str | None:
        """Mark *agent* (an incarnation) to be drained; return its box, None for no such agent."""
        rows = await self._person.run(QUERIES["drain_agent"], {"agent": agent})
        return rows[0][0] if rows else None

    async def forget_box(self, box: str) -> bool | None:
        """Forget *box*; return False if it is in use, and stays, and None if there is none."""
        rows = await self._person.run(QUERIES["forget_box"], {"box": box})
        return not rows[0][0] if rows else None

    # ---- claims

    async def claim(self, box: str | None, most: int) -> Claim:
        """Open at most *most* attempts, by fair use and within N, for *box*.

        Without one, for the box that has the most room of all that there is something for.
        """
        rows = await self._moves.run_prepared(*self._claiming(box, most))
        return read_claim(rows)

    def _claiming(
        self, box: str | None, most: int, *, freeing: bool = False, placing: bool = False
    ) -> tuple[Call, Call]:
        """Return what comes first in a transaction that claims, and what comes last.

        :param freeing: between them, places may become free
        :param placing: between them, units are placed
        """
        return (
            (QUERIES["lock_gate"], {"freeing": freeing, "placing": placing}),
            (QUERIES["claim"], {"box": box, "most": most, "api": self._key}),
        )

    async def wake(self) -> tuple[int, float | None]:
        """Make due retries and orders ready; say how many, and in how many seconds the next is."""
        ((woken,),) = await self._moves.run(QUERIES["wake"])
        while (await self._moves.run(QUERIES["wake_order"]))[0][0] is not None:
            woken += 1
        ((due,),) = await self._moves.run(QUERIES["next_wake"])
        return woken, due

    # ---- the applier

    async def apply(
        self, ledger: str, moves: Sequence[Move], report: Report | None = None
    ) -> list[Verdict]:
        """Book *moves*, said of *ledger*, in one transaction; return what went otherwise.

        A move that was known, open and applied as it was said, to be final or to go on at once,
        gets no verdict. What is said of another ledger than this changes nothing; nor does what
        somebody vouches for who does not lead a box. *report* is booked along with them.

        :raises BadDataError: one of them is bad, none was applied
        """
        calls = self._applying(ledger, moves, report)
        if not calls:
            return []
        rows = await self._moves.run_prepared(*calls)
        return _verdicts(rows[0][0]) if moves else []

    async def turn(
        self, ledger: str, moves: Sequence[Move], report: Report | None, most: int
    ) -> tuple[list[Verdict], Claim]:
        """Book *moves* as :meth:`apply` does, and claim for the places that they free.

        In one transaction: a claim after a flush waits for no second commit.
        """
        lock, claim = self._claiming(None, most, freeing=True)
        rows = await self._moves.run_prepared(lock, *self._applying(ledger, moves, report), claim)
        return _verdicts(rows[0][4]), read_claim(rows)

    def _applying(self, ledger: str, moves: Sequence[Move], report: Report | None) -> list[Call]:
        calls: list[Call] = []
        if report is not None:
            calls.append((QUERIES["report"], _state(report)))
        if moves:
            calls.append((QUERIES["apply"], {"ledger": ledger, **self._columns(moves)}))
        return calls

    def _columns(self, moves: Sequence[Move]) -> dict[str, object]:
        return {
            "unit": integers([move.unit for move in moves]),
            "attempt": integers([move.attempt for move in moves]),
            "kind": words([move.kind for move in moves]),
            "vouches": truths([move.vouches for move in moves]),
            "holder": texts([move.holder for move in moves]),
            "queued": truths([move.queued for move in moves]),
            "started": truths([move.started for move in moves]),
            "starter": texts([move.starter for move in moves]),
            "who": texts([move.who for move in moves]),
            "ran": numbers([move.ran for move in moves]),
            "result": texts([move.result for move in moves]),
            "why": texts([move.why or None for move in moves]),
            "output": texts([move.output or None for move in moves]),
            "jitter": numbers(
                [jitter(self._random()) if move.kind is Kind.FAILED else None for move in moves]
            ),
            "max_losses": MAX_LOSSES,
            "backoff": numbers(BACKOFF),
            "backoffs": len(BACKOFF),
        }

    async def adopt(self, report: Report) -> str:
        """Take the incarnation of *report* for its box's leader, if it was never seen.

        Return the current one, which differs for a superseded leader.
        """
        rows = await self._moves.run(
            QUERIES["adopt"],
            {"box": report.box, "leader": report.leader, "capacity": report.capacity},
        )
        return str(only(rows)[0])

    async def report(self, report: Report) -> bool:
        """Book the state that *report* shows of a box and its agents.

        Return False, and book nothing, if it is not from the box's current leader.
        """
        rows = await self._moves.run_prepared((QUERIES["report"], _state(report)))
        if not rows:
            return False
        if report.full and report.part == report.parts:
            await self._enroll(report.box, report.leader, report.agents)
        return True

    async def _enroll(self, box: str, leader: str, agents: Sequence[AgentState]) -> None:
        await self._moves.run(
            QUERIES["enroll"],
            {
                "box": box,
                "leader": leader,
                "agent": [agent.agent for agent in agents],
                "name": [agent.name for agent in agents],
                "host": [agent.host for agent in agents],
                "presence": [agent.presence for agent in agents],
                "slots": [agent.slots for agent in agents],
                "busy": [agent.busy for agent in agents],
                "silent": [agent.silent for agent in agents],
                "workloads": [" ".join(agent.workloads) for agent in agents],
                "container": [agent.container for agent in agents],
                "log": [agent.log for agent in agents],
            },
        )

    async def unnamed(self, box: str, leader: str) -> list[Forsaken]:
        """Return what earlier leaders of *box* had queued and *leader* did not name, and why."""
        rows = await self._moves.run(QUERIES["unnamed"], {"box": box, "leader": leader})
        return [(ledger, (unit, attempt), why) for ledger, unit, attempt, why in rows]

    async def boxes(self) -> list[str]:
        """Return the names of all boxes."""
        return [row[0] for row in await self._moves.run(QUERIES["box_names"])]

    async def box_state(self, box: str) -> BoxState | None:
        """Return what *box* needs to know; None if it was forgotten."""
        rows = await self._moves.run(QUERIES["control"], {"box": box})
        return BoxState(*rows[0]) if rows else None

    # ---- epochs

    async def epoch(self) -> tuple[str, int]:
        """Return the ledger's id and its current epoch."""
        ledger, epoch = only(await self._moves.run(QUERIES["epoch"]))
        return ledger, epoch

    async def end_epoch(self, ledger: str, epoch: int) -> None:
        """End *epoch* of *ledger*, if it is the current one."""
        await self._moves.run(QUERIES["end_epoch"], {"ledger": ledger, "epoch": epoch})

    async def is_restored(self) -> bool:
        """Was it noticed that PostgreSQL was restored to an earlier state?"""
        return bool(only(await self._moves.run(QUERIES["restored"]))[0])

    async def note_restored(self, ledger: str) -> None:
        """Note that *ledger* was restored: nothing is claimed any more until it is renewed."""
        await self._moves.run(QUERIES["note_restored"], {"ledger": ledger})

    async def forsaken(self) -> list[Forsaken]:
        """Return attempts that nobody vouches for any more, and why each is given up."""
        rows = await self._moves.run(
            QUERIES["forsaken"], {"lock_class": _API_LOCK, "own": self._key}
        )
        return [(ledger, (unit, attempt), why) for ledger, unit, attempt, why in rows]


def _state(report: Report) -> dict[str, object]:
    return {
        "ledger": report.ledger,
        "box": report.box,
        "leader": report.leader,
        "capacity": report.capacity,
        "queued": report.queued,
        "utilization": report.utilization,
        "slots": report.slots,
        "busy": report.busy,
        "workloads": report.workloads,
        "gone": report.gone,
        "launcher": _launcher(report),
    }


def _launcher(report: Report) -> str | None:
    shown = report.launcher
    return msgspec.json.encode(shown).decode() if shown is not None else None


def _verdicts(text: str) -> list[Verdict]:
    if not text:
        return []
    return [
        Verdict((unit, attempt), applied, known, is_open, delayed)
        for unit, attempt, applied, known, is_open, delayed in _judged.decode(text)
    ]


_judged = msgspec.json.Decoder(list[tuple[int, int, Kind | None, bool, bool, bool]])
