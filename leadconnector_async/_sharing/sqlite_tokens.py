"""Shared tokens in an SQLite file. What was saved is on the disk."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar, Final, TypeAlias

from .._secret import SecretBytes
from .._validation.text import escape, show_error
from ..exceptions import StoreUnavailableError
from .lock_files import LockFiles
from .sqlite import SQLiteFile
from .store import TOKEN_SECONDS

Value: TypeAlias = str | bytes | None

_BUSY_SECONDS: Final = 4.0
_READ: Final = "SELECT value FROM leadconnector_tokens WHERE name = ?"
_REPLACE: Final = """
INSERT INTO leadconnector_tokens (name, value) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_WRITE: Final = f"{_REPLACE} WHERE leadconnector_tokens.value = ?"


class SQLiteTokenRows:
    """`TokenRows` in a file, which SQLite and the locks beside it keep for its owner only."""

    lease_seconds: ClassVar = 5.0

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = SQLiteFile(path, "FULL", _BUSY_SECONDS)
        self._locks = LockFiles(f"{os.path.realpath(path)}.locks", self.lease_seconds)

    async def read(self, name: str) -> bytes | None:
        """The value of a row."""

        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute(_READ, (name,)).fetchone()
            return None if row is None else SecretBytes(row[0])

        return await self._file.run(work, TOKEN_SECONDS)

    async def write(self, name: str, value: bytes, known: bytes | None) -> bool:
        """Write a row, unless it has a value other than `known`."""
        return await self._change(_WRITE, name, value, known)

    async def replace(self, name: str, value: bytes) -> None:
        """Write a row, whatever its value."""
        await self._change(_REPLACE, name, value)

    async def take(self, name: str, holder: str) -> bool:
        """Lock a file, or touch it if it is the holder's own."""
        with self._explain():
            return self._locks.take(name, holder)

    async def release(self, name: str, holder: str) -> None:
        """Release it."""
        with self._explain():
            self._locks.release(holder)

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()

    async def _change(self, statement: str, *values: Value) -> bool:
        return await self._file.run(
            lambda connection: connection.execute(statement, values).rowcount > 0, TOKEN_SECONDS
        )

    @contextmanager
    def _explain(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(
                f"{escape(self._path)}.locks could not be used ({show_error(error)})"
            ) from None
