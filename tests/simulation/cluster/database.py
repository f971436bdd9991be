"""One database for all workers: SQLite in memory, behind connections that are slow, cut off, or lose responses."""

import asyncio
import random
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from typing import Self, TypeVar

from msgspec import Struct

from leadconnector_async import JournalError
from leadconnector_async.jobs.journal import leases
from leadconnector_async.jobs.journal.database import SQLiteJournal
from leadconnector_async.jobs.journal.groups import Entry, Group, Hold, Record, Value
from leadconnector_async.jobs.journal.leases import Taken

from .processes import Process, SimulatedThread, outside

T = TypeVar("T")
RowT = TypeVar("RowT", bound=Struct)


class Owner(Struct, array_like=True):
    """Who holds a location."""

    worker: int | None


class Database:
    """What is committed, and whether it can be reached."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.loop = asyncio.get_running_loop()
        self.journal = SQLiteJournal(":memory:")
        self.is_away = False
        self.lose = 0.0
        """With this probability the response to a statement is lost, and its connection with it."""
        self.delay = 0.004
        """Seconds of a usual way to it, or back."""
        self.on_commit: Callable[[Process, Hold], None] = lambda process, hold: None
        """Is told of each commit of rows right after it."""
        self.on_take: Callable[[Process, str, int, object], None] = lambda process, location, epoch, former: None
        """Is told who has taken which location, with which epoch, and from which worker, if from any."""
        self.on_burial: Callable[[object], None] = lambda worker: None
        """Is told which worker was buried."""
        self.on_change: Callable[[Process, str], None] = lambda process, statement: None
        """Is told of each statement that has changed something, before its process learns of that."""


class Connection:
    """One connection of a process, used by one thread of it."""

    def __init__(self, database: Database, process: Process, thread: SimulatedThread, timeout: float) -> None:
        self.database = database
        self.process = process
        self.cut_until = 0.0
        """Nothing passes before, in either direction."""
        self._thread = thread
        self._timeout = timeout
        self._is_broken = False
        self._in_commit = False

    def call(self, work: Callable[[], T]) -> T:
        """In the thread: have the database do something, and wait for its response.

        It does so also if the process is frozen or dead by then.
        """
        if self._in_commit:
            return work()
        results: list[T] = []
        failures: list[Exception] = []

        def arrive() -> None:
            if self.database.is_away:
                self._fail()
                return
            try:
                results.append(work())
            except Exception as error:
                failures.append(error)
            self._respond()

        self._begin(arrive, outside())
        if failures:
            raise failures[0]
        return results[0]

    @contextmanager
    def commit(self, transaction: AbstractContextManager[None]) -> Generator[None]:
        """A transaction of several statements, which take no time: no process is frozen inside."""

        def arrive() -> None:
            if self.database.is_away:
                self._fail()
            else:
                self._thread.resume()

        self._begin(arrive, self.process.context())
        self._in_commit = True
        try:
            with transaction:
                yield
        finally:
            self._in_commit = False
        self._respond()
        self._thread.pause()

    def _begin(self, arrive: Callable[[], None], context: object) -> None:
        if self._is_broken:
            raise JournalError("the connection was lost")
        self._travel(arrive, context)
        self._thread.pause()

    def _respond(self) -> None:
        if self.database.dice.random() < self.database.lose:
            self._fail()
        else:
            self._travel(self._thread.resume, self.process.context())

    def _fail(self) -> None:
        """The process learns that its connection is lost; whether anything was committed, it does not learn."""
        self._is_broken = True
        error = JournalError("the connection was lost")
        self.database.loop.call_later(
            self.database.delay, self._thread.resume, error, context=self.process.context()
        )

    def _travel(self, arrive: Callable[[], None], context: object) -> None:
        """To the database or back: not during a cut, and if that takes longer than the timeout, not at all."""
        loop = self.database.loop
        began = loop.time()

        def pass_on() -> None:
            cut = self.cut_until - loop.time()
            if cut <= 0:
                arrive()
            elif self.cut_until - began > self._timeout:
                loop.call_later(max(0.0, began + self._timeout - loop.time()), self._fail)
            else:
                loop.call_later(cut, pass_on, context=context)

        seconds = self.database.delay * self.database.dice.lognormvariate(0, 0.6)
        loop.call_later(seconds, pass_on, context=context)


class RemoteJournal:
    """The journal of a process, behind its connection."""

    def __init__(self, connection: Connection, journal: SQLiteJournal) -> None:
        self.connection = connection
        self._journal = journal

    @property
    def hold(self) -> Hold:
        return self._journal.hold

    def at(self, hold: Hold) -> Self:
        view = copy(self)
        view._journal = self._journal.at(hold)
        return view

    def commit(self) -> AbstractContextManager[None]:
        return self.connection.commit(self._commit())

    @contextmanager
    def _commit(self) -> Generator[None]:
        with self._journal.commit():
            yield
        self._tell(self.hold)

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        def work() -> None:
            self._journal.commit_entries(entries)
            self._change("commit")
            for hold in {entry.hold for entry in entries}:
                self._tell(hold)

        self.connection.call(work)

    def _tell(self, hold: Hold) -> None:
        if hold.epoch:
            self.connection.database.on_commit(self.connection.process, hold)

    def write(self, statement: str, values: Iterable[Value] = (), *, in_steps: bool = False) -> int:
        given = tuple(values)

        def work() -> int:
            changed = self._journal.write(statement, given, in_steps=in_steps)
            if changed:
                self._change(statement)
            if changed and statement is leases._BURY:
                self.connection.database.on_burial(given[0])
            return changed

        return self.connection.call(work)

    def _change(self, statement: str) -> None:
        self.connection.database.on_change(self.connection.process, statement)

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        given = list(records)
        self.connection.call(lambda: self._journal.write_all(statement, given))

    def write_group(self, group: Group, records: Sequence[Record]) -> None:
        self.connection.call(lambda: self._journal.write_group(group, records))

    def read(
        self, row: type[RowT], query: str, values: Iterable[Value] = (), *, at_once: bool = False
    ) -> Iterator[RowT]:
        given = tuple(values)
        former = self._find_owner(str(given[2])) if query is leases._TAKE else None
        found = self.connection.call(lambda: list(self._journal.read(row, query, given, at_once=at_once)))
        for one in found:
            if isinstance(one, Taken):
                self._change(query)
                self.connection.database.on_take(self.connection.process, str(given[2]), one.epoch, former)
        return iter(found)

    def _find_owner(self, location: str) -> int | None:
        """Inside the transaction that takes it."""
        found = self._journal.read_one(Owner, "SELECT worker FROM locations WHERE location = ?", (location,))
        return None if found is None else found.worker

    stream = read

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        given = tuple(values)
        return self.connection.call(lambda: self._journal.read_one(row, query, given))

    def close(self) -> None:
        """Its connection: the database stays."""
