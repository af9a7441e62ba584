"""Notices that PostgreSQL was restored to an earlier state, and keeps claims from going on then.

The broker, leaders and agents outlive a restored ledger and speak of a future that it does not
know. Under the same ledger id an attempt's number would be given out a second time while the first
still runs; so nothing is claimed nor applied until ``rtb ledger renew``.
"""

from __future__ import annotations

from twisted.logger import Logger

from rtb.ledger import Books

__all__ = ["Lineage"]


class Lineage:
    """What is known of the ledger's past, by this API and, through the ledger, by all."""

    _log = Logger()

    def __init__(self, books: Books) -> None:
        self._books = books
        self._seen = ("", 0)
        #: Why nothing goes on, and what to do; empty when all is well.
        self.problem = ""

    async def look(self) -> tuple[str, int]:
        """Read the ledger's id and epoch, and whether it is known to have been restored."""
        ledger, epoch = current = await self._books.epoch()
        if ledger == self._seen[0] and epoch < self._seen[1]:
            await self.doubt(ledger, f"its epoch was {self._seen[1]} and is {epoch}")
        else:
            self._seen = current
        if not await self._books.is_restored():
            self.problem = ""
        elif not self.problem:
            self._say("another API noticed it")
        return current

    async def doubt(self, ledger: str, why: str) -> None:
        """Note that *ledger* is older than what is said of it."""
        await self._books.note_restored(ledger)
        if not self.problem:
            self._say(why)

    def _say(self, why: str) -> None:
        self.problem = "PostgreSQL was restored to an earlier state: run `rtb ledger renew`"
        self._log.error("{problem} ({why})", problem=self.problem, why=why)
