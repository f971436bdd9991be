"""The journal of a job in SQLite: one file that survives whatever happens to its process.

WAL with `synchronous=FULL`: what was committed is on the disk. What SQLite cannot read or write raises
`JournalError`.

One connection, used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from itertools import chain, groupby
from operator import attrgetter
from typing import Final, Self

from ..._validation.text import escape
from ...exceptions import JournalError
from .connection import Connect, SQLiteConnection, connect_to_read
from .facts import Count, Text, set_fact
from .groups import FOLDER, RESULTS, Entry, Group, Hold, Record, Value, count_results
from .migrate import OLD_FORMATS, list_views, migrate
from .protocol import FenceLostError, Journal, RowT
from .tables import DEFINITIONS, FORMAT, INDEXES

JOURNAL: Final = "journal.sqlite"
"""The file's name in the folder of a job."""
_MOST_TOGETHER: Final = 512
"""Records in one statement. SQLite releases the GIL at every statement, and has to wait until it gets it back."""
_LEADING_BITS: Final = 3
"""How many leading bits of the number of records in a statement may be set: 150 are written as 160, of which ten
are left out. So distinct statements are few, and prepared ones are reused."""
_JOB: Final = "INSERT INTO jobs (id, name, phase, rows, made_at) VALUES (?, '', 'ready', 0, 0)"
_LOAD: Final = "INSERT INTO rows (job, location, number, line, event_id, wanted) VALUES (?, ?, ?, ?, ?, ?)"
_DUPLICATES: Final = "SELECT COUNT(*) FROM rows GROUP BY location, event_id HAVING COUNT(*) > 1 LIMIT 1"
_HOLD: Final = "UPDATE locations SET epoch = epoch WHERE job = ? AND location = ? AND epoch = ?"
_COUNT: Final = "UPDATE locations SET tries = 0, {} WHERE job = ? AND location = ? AND epoch = ?".format(
    ", ".join(f"{name} = {name} + ?" for name in RESULTS)
)
_get_statement: Final = attrgetter("statement")
_get_record: Final = attrgetter("record")


class SQLiteJournal:
    """An open journal. `connect` opens the database; tests give one that fails."""

    def __init__(self, path: str, connect: Connect | None = None) -> None:
        self.sqlite: Final = SQLiteConnection(path, connect)
        self._hold = FOLDER

    @classmethod
    def create(cls, path: str, connect: Connect | None = None) -> Self:
        """Begin one, to be filled, for its owner's eyes only; what is written is not safe before `complete`."""
        _make_private(path)
        journal = cls(path, connect)
        tables = "; ".join(DEFINITIONS.values())
        try:
            journal.sqlite.script(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {tables}")
            journal.write(_JOB, (FOLDER.job,))
            set_fact("format", FORMAT, journal)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open(cls, path: str, connect: Connect | None = None) -> Self:
        """Open one that is complete; an old format is migrated, and a copy kept. Raises `JournalError`."""
        journal = cls(_check_exists(path), connect)
        try:
            found = _check_format(path, journal)
            journal.sqlite.use_log()
            journal.sqlite.script("PRAGMA synchronous=FULL")
            if found != FORMAT:
                _migrate(journal.sqlite, found)
        except BaseException:
            journal.close()
            raise
        return journal

    @property
    def hold(self) -> Hold:
        """What is worked on."""
        return self._hold

    def at(self, hold: Hold) -> Self:
        """A view of the same journal."""
        view = copy(self)
        view._hold = hold
        return view

    @contextmanager
    def commit(self) -> Generator[None]:
        """A transaction: all that is written inside, or nothing of it."""
        with self.sqlite.transact():
            if self._hold.epoch:
                _check_hold(self._hold, (), self)
            yield

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        """Write entries in one transaction, with what they add to the counts of their locations."""
        with self.sqlite.transact():
            for hold, counts in count_results(entries).items():
                if hold.epoch or any(counts):
                    _check_hold(hold, counts if any(counts) else (), self)
            for statement, group in groupby(entries, _get_statement):
                if isinstance(statement, Group):
                    _write_group(self.sqlite.raw, statement, list(map(_get_record, group)))
                else:
                    records = [(*entry.record, entry.hold.job, entry.hold.location) for entry in group]
                    self.sqlite.raw.executemany(statement, records)

    def write(self, statement: str, values: Iterable[Value] = (), *, in_steps: bool = False) -> int:
        """Change rows; returns how many. One step is enough here."""
        return self.sqlite.execute(statement, values)

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        """Run the same statement for many records."""
        self.sqlite.execute_many(statement, records)

    def write_group(self, group: Group, records: Sequence[Record]) -> None:
        """Change many rows of the location."""
        with self.sqlite.explain("written"):
            _write_group(self.sqlite.raw, group, records)

    def read(
        self, row: type[RowT], query: str, values: Iterable[Value] = (), *, at_once: bool = False
    ) -> Iterator[RowT]:
        """The rows of a query; each column is checked against the fields of `row`."""
        read = self.sqlite.read_at_once if at_once else self.sqlite.read
        return read(row, query, values)

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        """The first row of a query."""
        return self.sqlite.read_one(row, query, values)

    def stream(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> Iterator[RowT]:
        """The rows of a query, as they come."""
        return self.sqlite.stream(row, query, values)

    def close(self) -> None:
        """Close the file. What was not committed is gone."""
        self.sqlite.close()

    def break_off(self) -> None:
        """Interrupt the statement that another thread runs."""
        self.sqlite.break_off()


def open_beside(path: str) -> SQLiteJournal:
    """Open a journal that another process has open, to write a little."""
    journal = SQLiteJournal(_check_exists(path))
    try:
        _check_format(path, journal, (FORMAT,))
        journal.sqlite.script("PRAGMA synchronous=FULL")
    except BaseException:
        journal.close()
        raise
    return journal


def open_file_to_read(path: str) -> SQLiteJournal:
    """Open a complete one of any format, and write nothing, even while another process works with it."""
    journal = SQLiteJournal(_check_exists(path), connect_to_read)
    try:
        for view in list_views(_check_format(path, journal)):
            journal.write(view)
    except BaseException:
        journal.close()
        raise
    return journal


def load_rows(journal: SQLiteJournal, records: Iterable[Record]) -> bool:
    """Add the rows of a new job, and then the indexes. Returns whether two are about the same event.

    Each has job, location, number, line, event_id and wanted.
    """
    with journal.commit():
        journal.write_all(_LOAD, records)
    journal.sqlite.script("; ".join(INDEXES))
    return journal.read_one(Count, _DUPLICATES) is not None


def complete(journal: SQLiteJournal) -> None:
    """The whole plan is in it: all of it is on the disk when this returns."""
    set_fact("complete", "yes", journal)
    with journal.sqlite.explain("written"), open(journal.sqlite.path, "rb+") as file:
        os.fsync(file.fileno())


def _check_hold(hold: Hold, counts: Sequence[int], journal: SQLiteJournal) -> None:
    """In a transaction: check that nobody else has taken a location, and add to its counts: that is progress."""
    values = (*counts, hold.job, hold.location, hold.epoch)
    changed = journal.sqlite.raw.execute(_COUNT if counts else _HOLD, values).rowcount
    if not changed and hold.epoch:
        raise FenceLostError(f"The location {hold.location} was taken by another worker.")


def _write_group(connection: sqlite3.Connection, group: Group, records: Sequence[Record]) -> None:
    accepted = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)  # 999 before SQLite 3.32
    width = len(group.columns)
    most = min(_MOST_TOGETHER, accepted // width)
    for first in range(0, len(records), most):
        together = records[first : first + most]
        size = min(most, _round_up(len(together)))
        padding = (0,) * width * (size - len(together))
        connection.execute(_render_group(group, size), (*chain.from_iterable(together), *padding))


def _round_up(number: int) -> int:
    """To the next number of which only the leading bits are set."""
    zeros = max(0, number.bit_length() - _LEADING_BITS)
    return -(-number >> zeros) << zeros


def _check_format(path: str, journal: Journal, formats: tuple[str, ...] = (*OLD_FORMATS, FORMAT)) -> str:
    """Returns the format."""
    found = _find_fact("format", journal)
    if found not in formats:
        raise JournalError(
            f"{escape(path)} has journal format {escape(found or 'none')}, and this version of the library reads"
            f" formats {', '.join(OLD_FORMATS)} and {FORMAT}: use the version that wrote it, or a newer one."
        )
    if _find_fact("settled" if found == "1" else "complete", journal) is None:
        raise JournalError(f"{escape(path)} is incomplete: nothing was sent; start the job again.")
    return found


def _find_fact(name: str, journal: Journal) -> str | None:
    """Of any format."""
    found = journal.read_one(Text, "SELECT value FROM facts WHERE name = ?", (name,))
    return None if found is None else found.text


def _migrate(opened: SQLiteConnection, found: str) -> None:
    try:
        migrate(opened.raw, opened.path, found)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(
            f"{escape(opened.path)} has journal format {found} and could not be migrated to format {FORMAT}"
            f" ({type(error).__name__}: {error}). It has not changed; a migration needs about three times its"
            " size on the disk."
        ) from error


@lru_cache(maxsize=64)
def _render_group(group: Group, size: int) -> str:
    """An upsert that never inserts: it is the one statement that changes many rows, each with its own values.

    The columns behind those of the group are required of a row that would be added. Records of the number 0, which
    no row has, are left out.
    """
    marks = f"({', '.join('?' * len(group.columns))}, 0, '', '', '')"
    sets = group.sets.replace("new.", "excluded.")
    where = f" WHERE {group.where}" if group.where else ""
    return (
        f"INSERT INTO rows ({', '.join(group.columns)}, line, location, event_id, wanted)"
        f" SELECT * FROM (VALUES {', '.join([marks] * size)}) WHERE column1 <> 0"
        f" ON CONFLICT (number) DO UPDATE SET {sets}{where}"
    )


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
