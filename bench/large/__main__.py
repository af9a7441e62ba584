"""Runs every part on private servers, one after the other, and says what came of it."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import attrs
import psycopg2
from fair import pick
from fair.line import shown
from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from large import flat, past
from large.books import Driven
from rtb.ledger.migrations import migrate
from rtb.roles.clock import use_monotonic_clock
from rtb.sandbox import Sandbox
from rtb.settings import Database

PARTS = ("fill", "flat", "held", "settled", "pruned")
FEW = 10_000
ACCOUNTS = 100
_CAPACITY = 100_000


@attrs.frozen
class Filling:
    """Rows to begin with."""

    name: str
    units: int
    accounts: int
    #: Units of an order at most.
    most: int


class Bench:
    """What all parts share: the servers, the directory, and the answer."""

    def __init__(
        self, reactor: Any, sandbox: Sandbox, directory: Path, options: argparse.Namespace
    ) -> None:
        self._reactor = reactor
        self._sandbox = sandbox
        self._directory = directory
        self._options = options
        self.answer: dict[str, Any] = {}
        self._few = Filling("few", FEW, ACCOUNTS, 1000)
        self._many = Filling("many", options.units, ACCOUNTS, 1000)
        # Large orders: what is claimed of one stays in the way of its next claim.
        self._large = Filling("large", 1_000_000, 4, 250_000)
        self._past = Filling("past", options.settled * 6 // 5, ACCOUNTS, 1000)

    async def fill(self) -> None:
        """Make the rows of ``flat``, which takes longer than to look at them."""
        for filling in (self._few, self._many):
            await self._filled(filling)

    async def flat(self) -> None:
        """Few and very many waiting units, in turns."""
        databases = [await self._filled(filling) for filling in (self._few, self._many)]
        driven = [await self._driven(database) for database in databases]
        try:
            booked = await flat.books(*driven)
        finally:
            for side in driven:
                await side.end()
        apis = [
            flat.Api(
                self._reactor,
                self._directory,
                {
                    **self._sandbox.environment(),
                    "RTB_DATABASE_URL": self._sandbox.postgres.url_of(database.name),
                    "RTB_SEED_COUNT": "0",
                    "RTB_LOG_LEVEL": "warn",
                },
            )
            for database in databases
        ]
        try:
            asked = await deferToThread(flat.ask, *apis)
        finally:
            for api in apis:
                await api.end()
        few, many = ({**books, **api} for books, api in zip(booked, asked, strict=True))
        ratios = flat.worst(few, many)
        self.answer["flat"] = {
            "few": few, "many": many, "ratios": ratios, "worst": max(ratios.values()),
        }  # fmt: skip

    async def held(self) -> None:
        """A transaction that somebody keeps open."""
        database = await self._filled(self._large)
        driven = await self._driven(database)
        try:
            url = self._sandbox.postgres.url_of(database.name)
            self.answer["held"] = await past.held(driven, url, self._options.seconds)
        finally:
            await driven.end()

    async def settled(self) -> None:
        """Units that come to their end, and what their updates leave behind."""
        database = await self._filled(self._past)
        driven = await self._driven(database)
        try:
            url = self._sandbox.postgres.url_of(database.name)
            before = await deferToThread(past.tables, url)
            found = await past.settled(driven, url, self._options.settled)
            self.answer["settled"] = {"before": before, **found}
        finally:
            await driven.end()

    async def pruned(self) -> None:
        """What has settled goes, while claims go on; comes after ``settled``."""
        database = await self._filled(self._past)
        driven = await self._driven(database)
        try:
            self.answer["pruned"] = await past.pruned(self._reactor, database, driven, 40.0)
        finally:
            await driven.end()

    async def _driven(self, database: Database) -> Driven:
        driven = Driven(self._reactor, database, Random(1).random)
        await driven.begin(_CAPACITY)
        return driven

    async def _filled(self, filling: Filling) -> Database:
        postgres = self._sandbox.postgres
        database = Database(
            host=postgres.host, port=postgres.port, user=postgres.user,
            password=postgres.password, name=filling.name,
        )  # fmt: skip
        known = await postgres.sql(
            f"SELECT count(*) FROM pg_database WHERE datname = '{filling.name}'"
        )
        if known != "0":
            return database
        await postgres.create_database(filling.name)
        await migrate(self._reactor, database)
        await deferToThread(_fill, postgres.url_of(filling.name), filling)
        shown(filled=filling.units)
        return database


def _fill(url: str, filling: Filling) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            pick.fill(cursor, filling.units, filling.accounts, filling.most)
    finally:
        connection.close()


async def run(reactor: Any, options: argparse.Namespace) -> None:
    """Run the parts that *options* name."""
    use_monotonic_clock(reactor)
    kept = options.directory
    directory = kept if kept is not None else Path(tempfile.mkdtemp(prefix="rtb-bench-"))
    directory.mkdir(exist_ok=True)
    directory.chmod(0o711)
    sandbox = Sandbox(reactor, directory / "servers", durable=True)
    try:
        await sandbox.start()
        bench = Bench(reactor, sandbox, directory, options)
        for part in PARTS if "all" in options.parts else options.parts:
            await getattr(bench, part)()
        print(json.dumps(bench.answer))
    finally:
        await sandbox.stop()
        if kept is None:
            shutil.rmtree(directory)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="bench/scale", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["all", *PARTS], default="all")
    parser.add_argument("--units", type=int, default=10_000_000, help="waiting units of `flat`")
    parser.add_argument("--settled", type=int, default=5_000_000, help="units that `settled` does")
    parser.add_argument("--seconds", type=float, default=120, help="how long `held` holds")
    parser.add_argument(
        "--directory", type=Path, help="keep the rows there, for another run; else they go"
    )
    options = parser.parse_args()
    task.react(lambda reactor: Deferred.fromCoroutine(run(reactor, options)))


main()
