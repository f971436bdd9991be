"""The database of a journal, as the SQL of jobs sees it.

`database.SQLiteJournal` is the journal of a folder. The statements use the SQL that SQLite and Postgres share, with
`?` for values; `tables` lists the exceptions. Every statement names the job, and one about a row its location too:
those of the journal's `hold`. A journal, with all its views, is used by one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self, TypeVar

from msgspec import Struct

from ...exceptions import JournalError
from .groups import Entry, Group, Hold, Record, Value

RowT = TypeVar("RowT", bound=Struct)


class EntryError(JournalError):
    """Nothing was written, because of the entries of one location: the others, written again, may succeed."""


class FenceLostError(EntryError):
    """Somebody else has taken a location since."""


class ValueRefusedError(EntryError):
    """The database cannot hold a value."""


class DamagedError(EntryError):
    """The database holds a value that nobody has written, or lacks one."""


class Journal(Protocol):
    """An open journal. Every method raises `JournalError` if the database fails."""

    @property
    def hold(self) -> Hold:
        """What is worked on."""
        ...

    def at(self, hold: Hold) -> Self:
        """A view of the same journal, to work on something else."""
        ...

    def commit(self) -> AbstractContextManager[None]:
        """A transaction: everything written inside it, or nothing. Raises `FenceLostError`."""
        ...

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        """Write entries in one transaction, whatever they hold. Raises `FenceLostError` if any of that is lost."""
        ...

    def write(self, statement: str, values: Iterable[Value] = (), *, in_steps: bool = False) -> int:
        """Change rows; returns how many.

        `in_steps`: for rows of the location that may be very many. Inside a commit; the statement ends with a
        condition, to which others may be added.
        """
        ...

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        """Run the same statement for many records."""
        ...

    def write_group(self, group: Group, records: Sequence[Record]) -> None:
        """Change many rows of the location. Inside a commit."""
        ...

    def read(
        self, row: type[RowT], query: str, values: Iterable[Value] = (), *, at_once: bool = False
    ) -> Iterator[RowT]:
        """The rows of a query that has few. `row` is a Struct with a field for each column, in their order.

        `at_once`: for what is read while the event loop is busy; `bytes` may come as `str` then.
        """
        ...

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        """The first row of a query; `None` if there is none."""
        ...

    def stream(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> Iterator[RowT]:
        """The rows of a query, as they come, however many. Until the last one, nothing else may be asked."""
        ...

    def close(self) -> None:
        """Close it. What was not committed is lost."""
        ...
