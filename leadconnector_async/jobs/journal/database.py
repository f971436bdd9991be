"""The journal of a job: one SQLite file that survives whatever happens to its process.

WAL with `synchronous=FULL`: what was committed is on the disk. Rows are known by what they are (plan,
location, event, wanted state), never by where they stood. What SQLite cannot read or write is a `JournalError`.

One connection, used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from ..._validation.text import escape
from ...exceptions import JournalError

Value: TypeAlias = None | int | float | str | bytes
Record: TypeAlias = tuple[Value, ...]
Connect: TypeAlias = Callable[[str], sqlite3.Connection]

JOURNAL: Final = "journal.sqlite"
"""The file's name in the folder of a job."""
FORMAT: Final = "1"
"""Of the file; another one is not read."""
_CACHE_KIB: Final = 8192
_TABLES: Final = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    line INTEGER NOT NULL,
    location TEXT NOT NULL,
    event_id TEXT NOT NULL,
    key BLOB NOT NULL,
    wanted BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'loaded',
    found BLOB,
    updates BLOB,
    differences BLOB,
    owner_before TEXT, start_before INTEGER, end_before INTEGER,
    owner_after TEXT, start_after INTEGER, end_after INTEGER,
    rank INTEGER NOT NULL DEFAULT 0,
    waits_for TEXT,
    parks INTEGER,
    read_at REAL,
    sent_at REAL,
    done_at REAL,
    seconds REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    repeated INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    trace_id TEXT,
    shown BLOB,
    new_id TEXT
);
CREATE TABLE faults (
    line INTEGER NOT NULL, column_name TEXT NOT NULL, reason TEXT NOT NULL, hint TEXT NOT NULL
);
CREATE TABLE settled (location TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE undo (number INTEGER PRIMARY KEY, verdict TEXT NOT NULL, reason TEXT NOT NULL, seen BLOB);
CREATE TABLE moments (at REAL NOT NULL, location TEXT NOT NULL, kind TEXT NOT NULL, seconds REAL NOT NULL);
"""


class Journal:
    """An open journal. `connect` opens the database; tests give one that fails."""

    def __init__(self, path: str, connect: Connect | None = None) -> None:
        self.path = path
        self._connect = connect or _connect
        with self._explain("opened"):
            self._connection = self._connect(path)

    @classmethod
    def create(cls, path: str, connect: Connect | None = None) -> Journal:
        """Begin one, to be filled, for its owner's eyes only; what is written is not safe before `settle`."""
        _make_private(path)
        journal = cls(path, connect)
        journal.script(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_TABLES}")
        journal.set_fact("format", FORMAT)
        return journal

    @classmethod
    def open(cls, path: str, connect: Connect | None = None) -> Journal:
        """Open one that was settled. Raises `JournalError` for anything else."""
        if not os.path.exists(path):
            raise JournalError(f"{escape(path)} does not exist: pass the folder of a job.")
        journal = cls(path, connect)
        try:
            journal._check()
            journal.script("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
        except BaseException:
            journal.close()
            raise
        return journal

    def settle(self) -> None:
        """It was filled whole: all of it is on the disk when this returns."""
        self.set_fact("settled", "yes")
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

    def write(self, statement: str, record: Iterable[Value] = ()) -> int:
        """Change rows; returns how many."""
        with self._explain("written"):
            return self._connection.execute(statement, tuple(record)).rowcount

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        """The same statement for many records."""
        with self._explain("written"):
            self._connection.executemany(statement, records)

    def script(self, statements: str) -> None:
        """Statements without values."""
        with self._explain("written"):
            self._connection.executescript(statements)

    def read(self, query: str, record: Iterable[Value] = ()) -> Iterator[Record]:
        """The rows of a query, as they come."""
        with self._explain("read"):
            yield from self._connection.execute(query, tuple(record))

    def read_one(self, query: str, record: Iterable[Value] = ()) -> Record | None:
        """The first row of a query."""
        with self._explain("read"):
            found: Record | None = self._connection.execute(query, tuple(record)).fetchone()
            return found

    def count(self, condition: str, record: Iterable[Value] = ()) -> int:
        """How many rows of the plan fulfil a condition."""
        found = self.read_one(f"SELECT COUNT(*) FROM rows WHERE {condition}", record)  # noqa: S608 - ours
        return found[0] if found is not None and isinstance(found[0], int) else 0

    def set_fact(self, name: str, value: str) -> None:
        """Keep a fact about the job."""
        self.write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def get_fact(self, name: str) -> str | None:
        """A fact about the job."""
        found = self.read_one("SELECT value FROM facts WHERE name = ?", (name,))
        return None if found is None else str(found[0])

    def _check(self) -> None:
        if self.get_fact("format") != FORMAT:
            raise JournalError(f"{self.path} was written by another version of this library.")
        if self.get_fact("settled") is None:
            raise JournalError(f"{self.path} was never filled whole: nothing was sent; begin the job again.")

    @contextmanager
    def _explain(self, what: str) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            text = f"{type(error).__name__}: {error}"
            raise JournalError(f"The journal {self.path} could not be {what} ({text}).") from error


def _make_private(path: str) -> None:
    """What SQLite writes beside the file has its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600))
    except OSError as error:
        raise JournalError(f"The journal {escape(path)} could not be created ({error.strerror}).") from error


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store=FILE")
    except BaseException:
        connection.close()
        raise
    return connection
