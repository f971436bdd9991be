"""The interface of a journal's database, which the SQL of jobs uses.

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
    """The entries of one location failed, and nothing was written: without them, the others may succeed."""


class FenceLostError(EntryError):
    """Another process has taken over a location."""


class ValueRefusedError(EntryError):
    """The database does not accept a value."""


class DamagedError(EntryError):
    """The database holds an invalid value, or lacks one."""


class DatabaseAwayError(JournalError):
    """The database fails, whatever is asked: it cannot be reached, is being restarted, or its disk is full."""


class Journal(Protocol):
    """An open journal. Every method raises `JournalError` if the database fails."""

    @property
    def hold(self) -> Hold:
        """The job, location and epoch that this view works on."""
        ...

    def at(self, hold: Hold) -> Self:
        """Return a view of the same journal for another job or location."""
        ...

    def commit(self) -> AbstractContextManager[None]:
        """A transaction: everything written inside it, or nothing. Raises `FenceLostError`."""
        ...

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        """Write entries in one transaction. Raises `FenceLostError` if any of their locations was taken over."""
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
        """Return the rows of a query, for small results. `row` is a Struct with a field for each column, in order.

        `at_once`: convert them in one step, for reads while the event loop is busy; `bytes` may come as `str` then.
        """
        ...

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        """Return the first row of a query; `None` if there is none."""
        ...

    def stream(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> Iterator[RowT]:
        """Yield the rows of a query as they arrive. Until the last one, no other statement may run."""
        ...

    def close(self) -> None:
        """Close the journal. Uncommitted changes are lost."""
        ...

    def break_off(self) -> None:
        """End at once, with a `JournalError`, what runs in the journal's thread. Call it in another one."""
        ...
