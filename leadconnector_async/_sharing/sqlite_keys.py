"""The keys of callers in an SQLite file. What was written is on the disk."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from .keys import BUSY_SECONDS, KEY_SECONDS, SWEEP_EVERY, KeyRow
from .sqlite import SQLiteFile, find_boot, read_clock
from .store import MISSING, make_version

_READ: Final = "SELECT version, content FROM leadconnector_keys WHERE key = ? AND kept_until > ?"
_ADD: Final = """
INSERT INTO leadconnector_keys (version, content, kept_until, key) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET version = excluded.version, content = excluded.content, kept_until = excluded.kept_until
WHERE leadconnector_keys.kept_until <= ?
"""
_REPLACE: Final = """
UPDATE leadconnector_keys SET version = ?, content = ?, kept_until = ? WHERE key = ? AND version = ?
"""
_SWEEP: Final = "DELETE FROM leadconnector_keys WHERE kept_until <= ?"


class SQLiteKeys:
    """`KeyStore` in a file. Leases follow the machine's monotonic clock, and a day its wall clock."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = SQLiteFile(path, "FULL", BUSY_SECONDS)
        self._swaps = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    async def read(self, key: str) -> KeyRow:
        """The row of a key, and the machine's time."""

        def work(connection: sqlite3.Connection) -> KeyRow:
            version, content = connection.execute(_READ, (key, time.time())).fetchone() or (MISSING, b"")
            return KeyRow(version, content, read_clock(), find_boot(connection))

        return await self._file.run(work, KEY_SECONDS)

    async def swap(self, key: str, version: str, content: bytes, keep_seconds: float, *, sync: bool = True) -> bool:
        """Replace a row if it still has this version."""

        def work(connection: sqlite3.Connection) -> bool:
            now = time.time()
            values = (make_version(), content, now + keep_seconds, key)
            if version == MISSING:
                changed = connection.execute(_ADD, (*values, now))
            else:
                changed = connection.execute(_REPLACE, (*values, version))
            if self._swaps % SWEEP_EVERY == 0:
                connection.execute(_SWEEP, (now,))
            self._swaps += 1
            return changed.rowcount == 1

        return await self._file.run(work, KEY_SECONDS)

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()
