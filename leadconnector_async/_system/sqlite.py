"""SQLite's write-ahead log, in which a reader and a writer do not wait for each other."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

_PRIMARY: Final = 0xFF
_PAUSE: Final = 0.005


def find_kind(error: BaseException) -> int:
    """The kind of an error, as `sqlite3.SQLITE_BUSY`, without SQLite's details; 0 for one that is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def use_log(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Switch a file to the write-ahead log, if it does not have one. Blocks; raises `sqlite3.Error`.

    While another process does the same, or writes without the log, SQLite fails at once: its own timeout covers
    statements, and not this switch.
    """
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if find_kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(_PAUSE)
