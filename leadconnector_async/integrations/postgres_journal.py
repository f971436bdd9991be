"""The journal of a job in Postgres, where workers on many machines share it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import lru_cache, partial
from itertools import groupby
from operator import attrgetter
from typing import Final, Self

from msgspec import Struct

from .._sharing.url import StoreAddress
from .._validation.text import escape
from ..exceptions import JobConflictError, JobNotFoundError
from ..jobs.journal.facts import Count
from ..jobs.journal.groups import RESULTS, Entry, Group, Hold, Record, Value, count_results
from ..jobs.journal.load import NewJob, load_job
from ..jobs.journal.phases import submit_new
from ..jobs.journal.protocol import RowT
from ..jobs.journal.tables import Kind
from ..jobs.plan.sources import AnyRow
from .postgres_batch import Command, encode_array, encode_value, number_marks
from .postgres_session import MOST_TOGETHER, AlreadyExistsError, LockedError, PostgresSession

_ARRAYS: Final[dict[Kind, str]] = {
    "integer": "integer[]",
    "bigint": "bigint[]",
    "real": "double precision[]",
    "text": "text[]",
    "blob": "bytea[]",
}
_HOLD: Final = (
    b"SELECT leadconnector_hold($1::integer[], $2::text[], $3::integer[],"
    b" $4::integer[], $5::integer[], $6::integer[], $7::integer[])"
)
"""The last four are those of `RESULTS`."""
_JOB: Final = "SELECT id FROM jobs WHERE name = ?"
_ADD_JOB: Final = "INSERT INTO jobs (name, phase, rows, made_at) VALUES (?, 'ready', 0, 0) RETURNING id"
_COPY: Final = b"COPY rows (job, location, number, line, event_id, wanted) FROM STDIN (FORMAT BINARY)"
_COPIED: Final = ("int4", "text", "int8", "int4", "text", "bytea")
_ANALYZE: Final = "ANALYZE rows"
_NAME_SECONDS: Final = 15.0
"""How long to wait for another process that creates a job of the same name: longer than a frozen one can keep a
lock, except in the middle of its `COPY`."""
_DUPLICATES: Final = """
    SELECT COUNT(*) FROM rows WHERE job = ? GROUP BY location, event_id HAVING COUNT(*) > 1 LIMIT 1
"""
_FIRST: Final = -(2**63)
_STEP: Final = """
    SELECT MAX(number) FROM (
        SELECT number FROM rows WHERE job = ? AND location = ? AND number > ? ORDER BY number LIMIT ?
    ) AS step HAVING COUNT(*) > 0
"""
"""The last of the next rows of a location."""
_get_statement: Final = attrgetter("statement")


class _Id(Struct, frozen=True, array_like=True):
    id: int


class PostgresJournal:
    """An open journal; all its views share one session."""

    def __init__(self, session: PostgresSession, hold: Hold) -> None:
        self.session: Final = session
        self._hold = hold

    @classmethod
    def open(cls, address: StoreAddress, name: str, lease: float | None = None) -> Self:
        """Open the journal of a job. With a lease, in seconds, no statement takes longer.

        Raises `JournalError` if there is no such job, and `ConfigurationError` if the database cannot be used.
        """
        session = PostgresSession.open(address, lease)
        try:
            return cls(session, Hold(_find_job(session, name)))
        except BaseException:
            session.close()
            raise

    @classmethod
    def open_all(cls, address: StoreAddress, lease: float | None = None) -> Self:
        """Open the journal of all jobs of a database; `at` selects one. Raises what `open` raises."""
        return cls(PostgresSession.open(address, lease), Hold(0))

    @property
    def hold(self) -> Hold:
        """The job, location and epoch that this view works on."""
        return self._hold

    def at(self, hold: Hold) -> Self:
        """Return a view of the same journal for another job or location."""
        view = copy(self)
        view._hold = hold
        return view

    @contextmanager
    def commit(self) -> Generator[None]:
        """A transaction: everything written inside it, or nothing."""
        with self.session.transact():
            if self._hold.epoch:
                self.session.run([_build_fence({self._hold: [0] * len(RESULTS)})])
            yield

    def commit_entries(self, entries: Sequence[Entry]) -> None:
        """Write entries in one round trip, and add them to the counts of their locations."""
        counts = {hold: counts for hold, counts in count_results(entries).items() if hold.epoch or any(counts)}
        with self.session.explain("written"):
            commands = [_build_fence(counts)] if counts else []
            for statement, group in groupby(entries, _get_statement):
                if isinstance(statement, Group):
                    commands.append(_build_group(statement, [(entry.hold, entry.record) for entry in group]))
                else:
                    commands += [_build_command(statement, entry) for entry in group]
            self.session.run(commands)

    def write(self, statement: str, values: Iterable[Value] = (), *, in_steps: bool = False) -> int:
        """Change rows; returns how many. `in_steps`: no statement takes long, however many there are."""
        if not in_steps:
            return self.session.execute(statement, values)
        changed, last, given = 0, _FIRST, tuple(values)
        while found := self.session.read(Count, _STEP, (self._hold.job, self._hold.location, last, MOST_TOGETHER)):
            after, last = last, found[0].number
            changed += self.session.execute(f"{statement} AND number > ? AND number <= ?", (*given, after, last))
        return changed

    def write_all(self, statement: str, records: Iterable[Record]) -> None:
        """Run the same statement for many records."""
        self.session.execute_many(statement, records)

    def write_group(self, group: Group, records: Sequence[Record]) -> None:
        """Change many rows of the location, in batches, so that no statement takes long."""
        with self.session.explain("written"):
            for first in range(0, len(records), MOST_TOGETHER):
                held = [(self._hold, record) for record in records[first : first + MOST_TOGETHER]]
                self.session.run([_build_group(group, held)])

    def read(
        self, row: type[RowT], query: str, values: Iterable[Value] = (), *, at_once: bool = False
    ) -> Iterator[RowT]:
        """Return the rows of a query; each column is checked against the fields of `row`."""
        return iter(self.session.read(row, query, values))

    def read_one(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> RowT | None:
        """Return the first row of a query; `None` if there is none."""
        return next(iter(self.session.read(row, query, values)), None)

    def stream(self, row: type[RowT], query: str, values: Iterable[Value] = ()) -> Iterator[RowT]:
        """Yield the rows of a query as they arrive."""
        return self.session.stream(row, query, values)

    def close(self) -> None:
        """Close the session. Uncommitted changes are lost."""
        self.session.close()

    def break_off(self) -> None:
        """Break the connection, on which another thread waits for a response."""
        self.session.break_off()


def _find_job(session: PostgresSession, name: str) -> int:
    for found in session.read(_Id, _JOB, (name,)):
        return found.id
    shown = session.address.shown
    raise JobNotFoundError(f"There is no job {escape(name)} in {shown}. leadconnector jobs {shown} lists them.")


def fill_journal(
    address: StoreAddress, name: str, new: NewJob, lease: float, rows: Iterable[AnyRow]
) -> PostgresJournal:
    """Load a plan into a new journal, in one transaction: if anything fails, nothing is left behind.

    Raises `PlanError`, and `JobConflictError` if a job of this name already exists.
    """
    session = PostgresSession.open(address, None)
    try:
        with session.transact():
            added = _add_job(session, name)
            journal = PostgresJournal(session, Hold(added.id))
            load_job(journal, partial(copy_rows, journal), rows, new)
            if new.submitted:
                submit_new(journal)
    except AlreadyExistsError:
        text = f"{address.shown}#{name} already exists: resume it, or choose another name"
        raise JobConflictError(text) from None
    finally:
        session.close()
    return PostgresJournal.open(address, name, lease)


def _add_job(session: PostgresSession, name: str) -> _Id:
    """Add the row of a job. Raises `JobConflictError` if another process is creating one of this name.

    A process that is frozen in its `COPY` keeps the name for as long as it is connected, so the wait is bounded.
    """
    session.execute(f"SET LOCAL lock_timeout = {round(_NAME_SECONDS * 1000)}")
    try:
        [added] = session.read(_Id, _ADD_JOB, (name,))
    except LockedError:
        shown = f"{session.address.shown}#{name}"
        text = f"{shown} is being created by another process: wait for it to end, or choose another name"
        raise JobConflictError(text) from None
    session.execute("SET LOCAL lock_timeout TO DEFAULT")
    return added


def copy_rows(journal: PostgresJournal, records: Iterable[Record]) -> bool:
    """Add the rows of a new job. Returns whether two are about the same event.

    Each has job, location, number, line, event_id and wanted. The tables are analyzed: the plans for rows that were
    just added would be bad without.
    """
    session = journal.session
    with session.explain("written"), session.connection.cursor() as cursor:
        with cursor.copy(_COPY) as copying:
            copying.set_types(_COPIED)
            for record in records:
                copying.write_row(record)
        cursor.execute(_ANALYZE)
    return journal.read_one(Count, _DUPLICATES, (journal.hold.job,)) is not None


def _build_fence(counts: dict[Hold, list[int]]) -> Command:
    """Check the fences of all locations, and update their counts."""
    jobs = encode_array([hold.job for hold in counts], "integer")
    places = encode_array([hold.location for hold in counts], "text")
    epochs = encode_array([hold.epoch for hold in counts], "integer")
    results = [encode_array(column, "integer") for column in zip(*counts.values(), strict=True)]
    return _HOLD, (jobs, places, epochs, *results)


def _build_command(statement: str, entry: Entry) -> Command:
    values = (*entry.record, entry.hold.job, entry.hold.location)
    return number_marks(statement), [encode_value(value) for value in values]


def _build_group(group: Group, held: list[tuple[Hold, Record]]) -> Command:
    """Build one statement for any number of records, with an array for each column."""
    kinds, columns = _list_kinds(group), zip(*[record for _, record in held], strict=True)
    jobs = encode_array([hold.job for hold, _ in held], "integer")
    places = encode_array([hold.location for hold, _ in held], "text")
    arrays = [encode_array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    return _render_group(group), (jobs, places, *arrays)


@lru_cache(maxsize=64)
def _list_kinds(group: Group) -> tuple[Kind, ...]:
    return group.kinds


@lru_cache(maxsize=64)
def _render_group(group: Group) -> bytes:
    """Render an update, which inserts nothing: rows that were purged meanwhile do not come back."""
    kinds: tuple[Kind, ...] = ("integer", "text", *group.kinds)
    arrays = ", ".join(f"${place}::{_ARRAYS[kind]}" for place, kind in enumerate(kinds, 1))
    where = f" AND {group.where}" if group.where else ""
    return (
        f"UPDATE rows SET {group.sets}"  # noqa: S608 - our own statements
        f" FROM unnest({arrays}) AS new (job, location, {', '.join(group.columns)})"
        f" WHERE rows.job = new.job AND rows.location = new.location AND rows.number = new.number{where}"
    ).encode()
