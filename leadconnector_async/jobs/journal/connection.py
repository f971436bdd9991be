"""A connection to one SQLite file, used by one thread at a time. All its errors are `JournalError`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias, cast, get_args

import msgspec

from ..._system.sqlite import use_log
from ..._validation.settings import check_kind
from ...exceptions import JournalError
from .groups import Record, Value
from .protocol import DamagedError, RowT, ValueRefusedError

Connect: TypeAlias = Callable[[str], sqlite3.Connection]
"""Opens the journal at a path, with SQLite functions of your own for example."""

_BUSY_SECONDS: Final = 10.0
"""How long a statement waits for another process."""
_CACHE_KIB: Final = 8192
_FETCHED: Final = 256
"""How many records are converted at a time."""


class SQLiteConnection:
    """Runs statements. `connect` opens the file."""

    def __init__(self, path: str, connect: Connect | None = None) -> None:
        self.path: Final = path
        with self.explain("opened"):
            opened = (connect or _connect)(path)
        self.raw: Final = check_kind("what connect returns", opened, sqlite3.Connection)
        self._is_streaming = False
        """Whether rows of a query are being streamed."""

    def close(self) -> None:
        """Close the file. Uncommitted changes are lost."""
        self.raw.close()

    def break_off(self) -> None:
        """Interrupt the statement that another thread runs."""
        self.raw.interrupt()

    @contextmanager
    def transact(self) -> Generator[None]:
        """A transaction: everything written inside it, or nothing."""
        with self.explain("written"):
            self._check_streams()
            self.raw.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.raw.execute("COMMIT")
            except BaseException:
                if self.raw.in_transaction:
                    self.raw.execute("ROLLBACK")
                raise

    def execute(self, statement: str, values: Iterable[Value] = ()) -> int:
        """Change rows; returns how many."""
        with self.explain("written"):
            self._check_streams()
            return self.raw.execute(statement, tuple(values)).rowcount

    def execute_many(self, statement: str, records: Iterable[Record]) -> None:
        """Run the same statement for many records."""
        with self.explain("written"):
            self._check_streams()
            self.raw.executemany(statement, records)

    def script(self, statements: str) -> None:
        """Run statements without values."""
        with self.explain("written"):
            self._check_streams()
            self.raw.executescript(statements)

    def use_log(self) -> None:
        """Let others read while this writes. Waits for another process, as a statement does."""
        with self.explain("written"):
            use_log(self.raw, _BUSY_SECONDS)

    def read(self, row: type[RowT], query: str, values: Iterable[Value]) -> Iterator[RowT]:
        """Return the rows of a query; each column is checked against the fields of `row`."""
        with self.explain("read"):
            self._check_streams()
            yield from _fetch(row, self.raw.execute(query, tuple(values)))

    def read_at_once(self, row: type[RowT], query: str, values: Iterable[Value]) -> Iterator[RowT]:
        """Return the rows of a query, in one step, with `str` in place of `bytes`.

        SQLite releases the GIL at every row, and beside a busy event loop a thread waits long for it.
        """
        statement, decode = _gather(row, query)
        with self.explain("read"):
            self._check_streams()
            return decode(self.raw.execute(statement, tuple(values)).fetchone()[0])

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value]) -> RowT | None:
        """Return the first row of a query; `None` if there is none."""
        with self.explain("read"):
            self._check_streams()
            record = self.raw.execute(query, tuple(values)).fetchone()
            return None if record is None else msgspec.convert(record, row)

    def stream(self, row: type[RowT], query: str, values: Iterable[Value]) -> Iterator[RowT]:
        """Yield the rows of a query as they arrive. Until the last one, no other statement may run."""
        with self.explain("read"):
            self._check_streams()
            cursor = self.raw.execute(query, tuple(values))
            self._is_streaming = True
            try:
                yield from _fetch(row, cursor)
            finally:
                self._is_streaming = False

    @contextmanager
    def explain(self, what: str) -> Generator[None]:
        """Turn database errors inside this context into a `JournalError`."""
        try:
            yield
        except UnicodeEncodeError as error:
            raise ValueRefusedError(f"The journal {self.path} does not accept a value ({error}).") from error
        except (UnicodeDecodeError, msgspec.ValidationError) as error:
            if what != "read":  # by the rows that are to be written: their plan is not UTF-8
                raise
            text = f"it holds a value that is not valid ({type(error).__name__}: {error})"
            raise DamagedError(f"The journal {self.path} could not be {what}: {text}.") from error
        except (sqlite3.Error, OSError) as error:
            text = f"{type(error).__name__}: {error}"
            raise JournalError(f"The journal {self.path} could not be {what} ({text}).") from error

    def _check_streams(self) -> None:
        """Refuse a statement during a stream, as Postgres does, so that both behave alike."""
        if self._is_streaming:
            raise JournalError("The rows of another query are still being read.")


def _fetch(row: type[RowT], cursor: sqlite3.Cursor) -> Iterator[RowT]:
    while records := cursor.fetchmany(_FETCHED):
        yield from msgspec.convert(records, list[row])  # type: ignore[valid-type] # it is a type


@lru_cache(maxsize=64)
def _gather(row: type[RowT], query: str) -> tuple[str, Callable[[str], Iterator[RowT]]]:
    """Return a query that yields all rows as one JSON array, and the function that decodes it."""
    fields = msgspec.structs.fields(row)
    texts = {one.name for one in fields if bytes in (one.type, *get_args(one.type))}
    values = ", ".join(f"CAST({one.name} AS TEXT)" if one.name in texts else one.name for one in fields)
    names = ", ".join(one.name for one in fields)
    statement = f"WITH found ({names}) AS ({query}) SELECT json_group_array(json_array({values})) FROM found"
    types = [(one.name, str | None if one.name in texts else one.type) for one in fields]
    shown = msgspec.defstruct(row.__name__, types, array_like=True, frozen=True, gc=False)
    decode = msgspec.json.Decoder(list[shown]).decode  # type: ignore[valid-type] # it is a type
    return statement, lambda content: iter(cast("list[RowT]", decode(content)))


def connect_to_read(path: str) -> sqlite3.Connection:
    """Open it read-only. In a read-only folder, that works only if no process has it open."""
    uri = Path(os.path.abspath(path)).as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", isolation_level=None, timeout=_BUSY_SECONDS, uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except BaseException as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError) or os.path.exists(f"{path}-wal"):
            raise
        # SQLite cannot create the files that its readers share there.
        connection = sqlite3.connect(f"{uri}?immutable=1", isolation_level=None, uri=True)
    return _set_up(connection)


def _connect(path: str) -> sqlite3.Connection:
    """Open a file that exists: SQLite would create an empty one in place of one that was just removed."""
    uri = "file::memory:" if path == ":memory:" else f"{Path(os.path.abspath(path)).as_uri()}?mode=rw"
    given = sqlite3.connect(uri, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS, uri=True)
    return _set_up(given)


def _set_up(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store=FILE")
    except BaseException:
        connection.close()
        raise
    return connection
