"""The journal of a job in SQLite: one file that survives whatever happens to its process.

WAL with `synchronous=FULL`: what was committed is on the disk. What SQLite cannot read or write raises
`JournalError`.

One connection, used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from ..._validation.settings import check_kind
from ..._validation.text import escape
from ...exceptions import JournalError
from .migrate import OLD_FORMAT, VIEW, migrate
from .protocol import Record, RowT, Value
from .tables import FORMAT, TABLES, get_fact, set_fact

Connect: TypeAlias = Callable[[str], sqlite3.Connection]

JOURNAL: Final = "journal.sqlite"
"""The file's name in the folder of a job."""
_CACHE_KIB: Final = 8192
_FETCHED: Final = 256
"""Records converted at once."""


class SQLiteJournal:
    """An open journal. `connect` opens the database; tests give one that fails."""

    def __init__(self, path: str, connect: Connect | None = None) -> None:
        self.path = path
        self._connect = connect or _connect
        with self._explain("opened"):
            connection = self._connect(path)
        self._connection = check_kind("what connect returns", connection, sqlite3.Connection)

    @classmethod
    def create(cls, path: str, connect: Connect | None = None) -> SQLiteJournal:
        """Begin one, to be filled, for its owner's eyes only; what is written is not safe before `complete`."""
        _make_private(path)
        journal = cls(path, connect)
        journal.script(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {TABLES}")
        set_fact("format", FORMAT, journal)
        return journal

    @classmethod
    def open(cls, path: str, connect: Connect | None = None) -> SQLiteJournal:
        """Open one that is complete; an old format is migrated, and a copy kept. Raises `JournalError`."""
        journal = cls(_check_exists(path), connect)
        try:
            found = journal._check()
            journal.script("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
            if found == OLD_FORMAT:
                journal._migrate()
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open_to_read(cls, path: str) -> SQLiteJournal:
        """Open a complete one of any format, and write nothing, also while another process works with it."""
        journal = cls(_check_exists(path), _connect_to_read)
        try:
            if journal._check() == OLD_FORMAT:
                journal.write(VIEW)
        except BaseException:
            journal.close()
            raise
        return journal

    def complete(self) -> None:
        """The whole plan is in it: all of it is on the disk when this returns."""
        set_fact("complete", "yes", self)
        with self._explain("written"), open(self.path, "rb+") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close the file. What was not committed is gone."""
        self._connection.close()

    @contextmanager
    def commit(self) -> Generator[None]:
        """A transaction: all that is written inside, or nothing of it."""
        with self._explain("written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def write(self, statement: str, values: Iterable[Value] = ()) -> int:
        """Change rows; returns how many."""
        with self._explain("written"):
            return self._connection.execute(statement, tuple(values)).rowcount

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        """Run the same statement for many records."""
        with self._explain("written"):
            self._connection.executemany(statement, records)

    def script(self, statements: str) -> None:
        """Statements without values."""
        with self._explain("written"):
            self._connection.executescript(statements)

    def read(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> Iterator[RowT]:
        """The rows of a query, as they come; each column is checked against the fields of `row`."""
        with self._explain("read"):
            cursor = self._connection.execute(query, tuple(values))
            while records := cursor.fetchmany(_FETCHED):
                yield from msgspec.convert(records, list[row])  # type: ignore[valid-type] # it is a type

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        """The first row of a query."""
        with self._explain("read"):
            record = self._connection.execute(query, tuple(values)).fetchone()
            return None if record is None else msgspec.convert(record, row)

    def _check(self) -> str:
        """Returns the format."""
        found = get_fact("format", self)
        if found not in (FORMAT, OLD_FORMAT):
            raise JournalError(
                f"{escape(self.path)} has journal format {escape(found or 'none')}, and this version of the library"
                f" reads formats {OLD_FORMAT} and {FORMAT}: use the version that wrote it, or a newer one."
            )
        if get_fact("complete" if found == FORMAT else "settled", self) is None:
            raise JournalError(f"{escape(self.path)} is incomplete: nothing was sent; start the job again.")
        return found

    def _migrate(self) -> None:
        try:
            migrate(self._connection, self.path)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"{escape(self.path)} has journal format {OLD_FORMAT} and could not be migrated to format {FORMAT}"
                f" ({type(error).__name__}: {error}). It has not changed; a migration needs about three times its"
                " size on the disk."
            ) from error

    @contextmanager
    def _explain(self, what: str) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, msgspec.ValidationError) as error:
            text = f"{type(error).__name__}: {error}"
            raise JournalError(f"The journal {self.path} could not be {what} ({text}).") from error


def _check_exists(path: str) -> str:
    if not os.path.exists(path):
        raise JournalError(f"{escape(path)} does not exist: pass the folder of a job.")
    return path


def _make_private(path: str) -> None:
    """What SQLite writes beside the file has its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except OSError as error:
        raise JournalError(f"The journal {escape(path)} could not be created ({error.strerror}).") from error


def _connect_to_read(path: str) -> sqlite3.Connection:
    """Open it read-only; in a folder that cannot be written to as well, if no process has it open."""
    uri = Path(os.path.abspath(path)).as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", isolation_level=None, timeout=10.0, uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError) or os.path.exists(f"{path}-wal"):
            raise
        # SQLite could not create the files that its readers share.
        connection = sqlite3.connect(f"{uri}?immutable=1", isolation_level=None, uri=True)
    return _set_up(connection)


def _connect(path: str) -> sqlite3.Connection:
    return _set_up(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0))


def _set_up(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store=FILE")
    except BaseException:
        connection.close()
        raise
    return connection
