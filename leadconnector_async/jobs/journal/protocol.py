"""The database of a journal, as the SQL of jobs sees it.

`database.SQLiteJournal` is the one implementation. The statements use the SQL that SQLite and Postgres share, with
`?` for values; `tables` lists the exceptions. A journal is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, TypeVar

from msgspec import Struct

Value: TypeAlias = None | int | float | str | bytes | bytearray
Record: TypeAlias = tuple[Value, ...]
RowT = TypeVar("RowT", bound=Struct)


class Journal(Protocol):
    """An open journal. Every method raises `JournalError` if the database fails."""

    def commit(self) -> AbstractContextManager[None]:
        """A transaction: everything written inside it, or nothing."""
        ...

    def write(self, statement: str, values: Iterable[Value] = ()) -> int:
        """Change rows; returns how many."""
        ...

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        """Run the same statement for many records."""
        ...

    def read(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> Iterator[RowT]:
        """The rows of a query, as they come. `row` is a Struct with a field for each column, in their order."""
        ...

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        """The first row of a query; `None` if there is none."""
        ...

    def close(self) -> None:
        """Close it. What was not committed is lost."""
        ...
