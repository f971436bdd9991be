"""SQLite as the store of the processes on one machine: one file, no server.

The time is that of the machine: it counts from the start of the machine, and no adjustment of the clock moves it. A
statement is a transaction of its own, so a process that is killed or frozen between two of them holds no lock.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final, Literal, TypeVar

from .._system.files import is_exhausted, sync_folder
from .._system.forks import close_at_forks, make_lock
from .._system.sqlite import find_kind, use_log
from .._system.threads import NoThreadError, submit
from .._validation.text import escape, show_error
from ..exceptions import ConfigurationError, LeadConnectorError, StoreUnavailableError
from .mounts import find_network
from .store import MISSING, STORE_SECONDS, Reading, find_version_fault, make_version, try_swap
from .url import StoreAddress

T = TypeVar("T")

SCHEMA_VERSION: Final = 2
_APPLICATION: Final = 0x6C656164
"""`PRAGMA application_id`: the file is a store of this library."""
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS leadconnector_states (
    key TEXT PRIMARY KEY, version TEXT NOT NULL, content BLOB NOT NULL, kept_until REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS leadconnector_tokens (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS leadconnector_boots (name TEXT PRIMARY KEY, began REAL NOT NULL);
CREATE TABLE IF NOT EXISTS leadconnector_keys (
    key TEXT PRIMARY KEY, version TEXT NOT NULL, content BLOB NOT NULL, kept_until REAL NOT NULL
);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {SCHEMA_VERSION};
"""
"""All tables of this version: what a version adds to them is added to an older file by the same statements."""
_READ: Final = "SELECT version, content FROM leadconnector_states WHERE key = ?"
_ADD: Final = """
INSERT INTO leadconnector_states (version, content, kept_until, key) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO NOTHING
"""
_REPLACE: Final = """
UPDATE leadconnector_states SET version = ?, content = ?, kept_until = ? WHERE key = ? AND version = ?
"""
_SWEEP: Final = "DELETE FROM leadconnector_states WHERE kept_until < ?"
_SWEEP_EVERY: Final = 1000
_BUSY_SECONDS: Final = 0.8
"""How long a statement waits for another process, less than the caller does."""
_SAME_BOOT: Final = 5.0
"""Seconds by which estimates of the same start may differ; no machine starts twice within them."""
_FORK_SECONDS: Final = 5.0
"""How long a fork waits for what uses a file: longer than any statement takes."""
_NOT_OURS: Final = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class SQLiteFile:
    """A connection in a thread of its own: opened by its first use, again after a fork or a failure.

    `synchronous` is that of SQLite: with `NORMAL`, what was committed survives the end of the process; with `FULL`,
    a power failure too. `busy_seconds` is how long a statement waits for another process. Raises
    `StoreUnavailableError` and `ConfigurationError` only.
    """

    def __init__(
        self, path: str, synchronous: Literal["NORMAL", "FULL"] = "NORMAL", busy_seconds: float = _BUSY_SECONDS
    ) -> None:
        self._path = path
        self._synchronous = synchronous
        self._busy_seconds = busy_seconds
        self._process = os.getpid()
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._use = threading.Lock()
        """Held by whoever uses the connection: closing it meanwhile would crash the program."""
        self._change = threading.Lock()
        """Held while the thread is given work, or is ended: event loops of other threads do so, too."""
        close_at_forks(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    def __del__(self) -> None:
        # Otherwise sqlite3 would warn of a connection that nobody can see.
        if self._process == os.getpid():
            self._close()

    async def run(self, work: Callable[[sqlite3.Connection], T], seconds: float = STORE_SECONDS) -> T:
        """Do some work with the connection. A caller that is cancelled does not stop it.

        Each statement is committed by itself, unless the work begins a transaction.
        """
        return await self._call(lambda: work(self._find_connection()), seconds)

    async def _call(self, work: Callable[[], T], seconds: float) -> T:
        self._leave_parent()
        with self._change:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "leadconnector-sqlite")
            try:
                working = submit(self._thread, partial(self._work, work))
            except NoThreadError as error:
                self._thread = None  # it has none, and `aclose` would wait for it
                raise self._explain(error) from None
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(working)
        except TimeoutError:
            name = escape(self._path)
            raise StoreUnavailableError(f"{name} could not be used within {seconds:g} s") from None

    async def migrate(self) -> None:
        """Create the tables of this version in a new file or an older one; a newer one stays as it is."""
        await self._call(self._migrate, STORE_SECONDS)

    async def aclose(self) -> None:
        """Close the file. The next use opens it again."""
        self._leave_parent()
        with self._change:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            closing = thread.submit(self._work, self._close)
            thread.shutdown(wait=False)
        with suppress(TimeoutError):
            async with asyncio.timeout(STORE_SECONDS):
                await asyncio.wrap_future(closing)

    def pause(self) -> threading.Lock | None:
        """Close the connection until the lock that this returns is released; `None` if it is in use too long."""
        use = self._use
        if not use.acquire(timeout=_FORK_SECONDS):
            return None
        self._close()
        return use

    def _leave_parent(self) -> None:
        """After a fork, a connection must not be used, nor closed; a lock may be held by a thread that is gone."""
        if self._process == os.getpid():
            return
        with _LEAVING:
            if self._process != os.getpid():
                _INHERITED.append((self._thread, self._connection))
                self._thread, self._connection = None, None
                self._use, self._change = threading.Lock(), threading.Lock()
                self._process = os.getpid()

    def _work(self, work: Callable[[], T]) -> T:
        fault: LeadConnectorError
        with self._use:
            try:
                return work()
            except (sqlite3.Error, OSError) as error:
                fault = self._explain(error)
            self._close()
        raise fault from None

    def _find_connection(self) -> sqlite3.Connection:
        """Another one if the file was removed or replaced: whoever opens it now has another."""
        if self._connection is not None and self._inode != _find_inode(self._path):
            self._close()
        if self._connection is None:
            check_file(self._path)
            self._inode = _find_inode(self._path)  # of what is there now: it may be replaced while it is opened
            connection = _connect(self._path, self._synchronous, self._busy_seconds)
            try:
                self._check_tables(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _check_tables(self, connection: sqlite3.Connection) -> None:
        """Create the tables in a new file; in an older one only `migrate` does."""
        found = _get_number(connection, "user_version")
        if found == 0 and _get_number(connection, "schema_version") == 0:
            _create_tables(connection)
        _check_application(self._path, connection)
        if fault := find_version_fault(escape(self._path), _get_number(connection, "user_version"), SCHEMA_VERSION):
            raise ConfigurationError(fault)

    def _migrate(self) -> None:
        check_file(self._path)
        connection = _connect(self._path, self._synchronous, self._busy_seconds)
        try:
            if _get_number(connection, "schema_version"):
                _check_application(self._path, connection)
            _create_tables(connection)
        finally:
            connection.close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _explain(self, error: sqlite3.Error | OSError) -> LeadConnectorError:
        name = escape(self._path)
        if find_kind(error) in _NOT_OURS:
            return ConfigurationError(f"{name} is not an SQLite database, or is damaged: move it away ({error})")
        return StoreUnavailableError(f"{name} could not be used ({show_error(error)})")


_CREATING: Final = make_lock()
_LEAVING: Final = make_lock()
_INHERITED: Final[list[object]] = []


class SQLiteStore:
    """States in a table of a file."""

    def __init__(self, address: StoreAddress) -> None:
        self._path = address.path
        self._file = SQLiteFile(address.path)
        self._swaps = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    async def read(self, key: str) -> Reading:
        """The state of a key, and the machine's time."""

        def work(connection: sqlite3.Connection) -> Reading:
            version, content = connection.execute(_READ, (key,)).fetchone() or (MISSING, None)
            now = read_clock()
            return Reading(version, content, now, f"machine {find_boot(connection)}", now)

        return await self._file.run(work)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float) -> bool:
        """Replace the state if it still has this version."""

        def work(connection: sqlite3.Connection) -> bool:
            now = time.time()
            values = (make_version(), content, now + keep_seconds, key)
            if version == MISSING:
                changed = connection.execute(_ADD, values)
            else:
                changed = connection.execute(_REPLACE, (*values, version))
            if self._swaps % _SWEEP_EVERY == 0:
                connection.execute(_SWEEP, (now,))
            self._swaps += 1
            return changed.rowcount == 1

        return await self._file.run(work)

    async def migrate(self) -> None:
        """Create the file and its tables, or add what this version has to them."""
        await self._file.migrate()
        await self.check()

    async def check(self) -> None:
        """Open the file, check its tables, and whether they can be written."""
        await try_swap(self)

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()


def check_file(path: str) -> None:
    """Create the file for its owner only, or check an existing one. Raises `ConfigurationError` and `OSError`.

    An existing file is not opened here: closing it would release the locks that SQLite has on it in this process.
    """
    name = escape(path)
    path = os.path.realpath(path)  # what a link leads to may be elsewhere, and may not exist yet
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise ConfigurationError(f"{name} cannot be created: the folder {escape(folder)} does not exist")
    if kind := find_network(folder):
        raise ConfigurationError(
            f"{name} is on a network file system ({kind}), where SQLite cannot be shared: choose a local folder, or"
            " share a postgresql:// or rediss:// server"
        )
    with _CREATING, suppress(FileExistsError):  # nobody in this process opens it before it is closed here
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        sync_folder(path)
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{name} is not a file")
    if sys.platform == "win32":
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigurationError(f"{name} belongs to another user: choose another file")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError(f"{name} can be used by other users; run: chmod 600 {name}")


def read_clock() -> float:
    """Seconds since the machine was started, the same in all its processes; time asleep counts where it can."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def find_boot(connection: sqlite3.Connection) -> str:
    """Names this start of the machine: the kernel's name for it, or an estimate that the processes agree on."""
    return _read_boot_id() or estimate_boot(connection, time.time() - read_clock())


@cache
def _read_boot_id() -> str | None:
    """Linux has one. Raises `OSError` if it cannot be read just now: what this returns is remembered."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError as error:
        if is_exhausted(error):
            raise
        return None


def estimate_boot(connection: sqlite3.Connection, began: float) -> str:
    """The name of the start at about this time, as the first process that needed it wrote it down."""
    find = "SELECT name FROM leadconnector_boots WHERE abs(began - ?) < ? ORDER BY abs(began - ?) LIMIT 1"
    found = connection.execute(find, (began, _SAME_BOOT, began)).fetchone()
    if found is None:  # in one statement, before which another process may have named it
        connection.execute(
            "INSERT INTO leadconnector_boots SELECT ?, ? WHERE NOT EXISTS"
            " (SELECT 1 FROM leadconnector_boots WHERE abs(began - ?) < ?)",
            (f"{began:.0f}", began, began, _SAME_BOOT),
        )
        found = connection.execute(find, (began, _SAME_BOOT, began)).fetchone()
    return str(found[0])


def _connect(path: str, synchronous: str, busy_seconds: float) -> sqlite3.Connection:
    uri = f"{Path(path).as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=busy_seconds)
    try:
        use_log(connection, busy_seconds)
        connection.execute(f"PRAGMA synchronous={synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_application(path: str, connection: sqlite3.Connection) -> None:
    if _get_number(connection, "application_id") != _APPLICATION:
        raise ConfigurationError(f"{escape(path)} is a database of another program; choose another file")


def _create_tables(connection: sqlite3.Connection) -> None:
    """In one transaction; another process that does the same waits."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _get_number(connection, "user_version") < SCHEMA_VERSION:
            for statement in _TABLES.split(";"):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _get_number(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _find_inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
