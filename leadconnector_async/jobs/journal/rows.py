"""Rows while they are carried out: read as Structs, changed by entries of the journal's writer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from ...models import Appointment, AppointmentUpdate
from ..states import RowOutcome, RowState
from .columns import OUTCOME_COLUMNS, OutcomeColumns, clean, decode_found, decode_updates, encode_found
from .facts import LocationCount
from .groups import RESULTS, Entry, Group, Record
from .protocol import Journal
from .tables import COUNTED, SENT, TO_RETRY, TO_SEND, render_states

LAST: Final = 1_000_000
"""Rank of rows that are retried after all others."""
_OPEN_COLUMNS: Final = """
    number, line, event_id, state, rank, found, updates, waits_for, parks, read_at,
    CASE WHEN start_before IS NULL OR start_after <> start_before THEN start_after END
"""
"""Those of `_OpenColumns`."""
_OPEN: Final = f"""
    SELECT {_OPEN_COLUMNS} FROM rows
    WHERE job = ? AND location = ? AND state IN {TO_SEND} AND (rank, number) > (?, ?) ORDER BY rank, number LIMIT ?
"""
_PARKED: Final = f"""
    SELECT {_OPEN_COLUMNS} FROM rows
    WHERE job = ? AND location = ? AND parks IS NULL AND state = 'pending' AND number IN (
        SELECT parks FROM rows WHERE job = ? AND location = ? AND parks IS NOT NULL AND state IN {SENT}
    )
"""
_INTEND: Final = Group(
    ("number", "sent_at", "repeated"),
    "state = 'sent', sent_at = new.sent_at, repeated = rows.repeated | new.repeated",
)
_FINISH: Final = Group(
    ("number", "state", "done_at", "seconds", "attempts", "repeated", "reason", "trace_id", "shown", "new_id"),
    "state = new.state, done_at = new.done_at, seconds = new.seconds, attempts = rows.attempts + new.attempts,"
    " repeated = rows.repeated | new.repeated, reason = new.reason, trace_id = NULLIF(new.trace_id, ''),"
    " shown = new.shown, new_id = NULLIF(new.new_id, '')",
)
"""Strings are bound as they are; for `None` and bytes, Python's module looks for an adapter first, each time."""
_GIVE_BACK: Final = (
    "UPDATE rows SET state = 'pending' WHERE number = ? AND state = 'sent' AND job = ? AND location = ?"
)
_PUT_BEHIND: Final = "UPDATE rows SET rank = ?, reason = ? WHERE number = ? AND job = ? AND location = ?"
_POSTPONE: Final = """
    UPDATE rows SET state = 'pending', rank = ?, reason = ?, read_at = CASE WHEN parks IS NOT NULL THEN read_at END
    WHERE number = ? AND job = ? AND location = ?
"""
_TAKE_BACK: Final = """
    UPDATE rows SET state = 'skipped', reason = ?
    WHERE parks = ? AND state = 'applied' AND job = ? AND location = ?
"""
_MOMENT: Final = "INSERT INTO moments (at, kind, seconds, job, location) VALUES (?, ?, ?, ?, ?)"
_PARKING: Final = f"""
    SELECT updates FROM rows
    WHERE job = ? AND location = ? AND parks = ? AND state IN {SENT}
"""
_OUTCOME: Final = f"SELECT {OUTCOME_COLUMNS} FROM rows WHERE job = ? AND location = ? AND number = ?"
_COUNT_OPEN: Final = f"""
    SELECT location, SUM(CASE WHEN parks IS NULL THEN 1 ELSE 0 END) FROM rows
    WHERE job = ? AND state IN {TO_SEND}
        AND location IN (SELECT location FROM locations WHERE job = ? AND prepared = 1) GROUP BY location
"""
_RETRY_PARKING: Final = f"""
    UPDATE rows SET state = 'pending' WHERE job = ? AND parks IS NOT NULL AND state IN {TO_RETRY} AND parks IN (
        SELECT number FROM rows WHERE job = ? AND state IN {TO_RETRY} AND parks IS NULL
    )
"""
_RETRY: Final = f"""
    UPDATE rows SET state = 'pending', rank = CASE WHEN rank < {LAST} THEN rank ELSE {LAST - 1} END,
        reason = '', read_at = NULL
    WHERE job = ? AND state IN {TO_RETRY} AND updates IS NOT NULL AND parks IS NULL
"""
_STATES: Final = {
    result: render_states(state for state, column in COUNTED.items() if column == result) for result in RESULTS
}
_COUNTS: Final = ", ".join(f"COUNT(CASE WHEN state IN {_STATES[result]} THEN 1 END)" for result in RESULTS)
_RECOUNT: Final = f"""
    UPDATE locations SET ({", ".join(RESULTS)}) = (
        SELECT {_COUNTS}
        FROM rows WHERE rows.job = locations.job AND rows.location = locations.location AND rows.parks IS NULL
    )
    WHERE job = ?
"""
_UNCANCEL: Final = "UPDATE jobs SET wanted = 'run' WHERE id = ? AND wanted = 'cancel'"
_REOPEN: Final = """
    UPDATE locations SET ended = 0
    WHERE job = ? AND ended = 1 AND rows > applied + unchanged + unknown + not_changed
"""

Position: TypeAlias = tuple[int, int]
"""Rank and number of a row."""


class OpenRow(Struct, frozen=True, gc=False):
    """A row that is to be sent, or that was sent and has no outcome yet. Holds no cycles: no need to track it."""

    number: int
    line: int
    event_id: str
    location: str
    state: RowState
    rank: int
    found: bytes | str | None
    """The appointment as it was first read, encoded: few rows ever need it."""
    updates: tuple[AppointmentUpdate, ...]
    waits_for: tuple[int, ...]
    """Numbers of the rows that must move first."""
    parks: int | None
    """Number of the row whose appointment this one only moves out of the way."""
    read_at: float
    new_start: int | None
    """Where it moves to, in epoch seconds; `None` if it keeps its time."""

    @property
    def before(self) -> Appointment:
        """The appointment as it was first read."""
        return decode_found(self.found)


class Standing(Struct, frozen=True, array_like=True):
    """The state of a row, and its position."""

    number: int
    line: int
    rank: int
    state: RowState


class _OpenColumns(Struct, frozen=True, array_like=True, gc=False):
    number: int
    line: int
    event_id: str
    state: RowState
    rank: int
    found: bytes | None
    updates: bytes | None
    waits_for: str | None
    parks: int | None
    read_at: float | None
    new_start: int | None


class _Updates(Struct, frozen=True, array_like=True):
    updates: bytes | None


def fetch_open(after: Position, most: int, journal: Journal) -> list[OpenRow]:
    """The next open rows of the location, in order."""
    job, location = journal.hold.job, journal.hold.location
    rows = journal.read(_OpenColumns, _OPEN, (job, location, *after, most), at_once=True)
    return [_build_open(location, row) for row in rows]


def fetch_parked(journal: Journal) -> list[OpenRow]:
    """The open rows of the location whose appointment was moved out of the way, or may have been."""
    job, location = journal.hold.job, journal.hold.location
    return [_build_open(location, row) for row in journal.read(_OpenColumns, _PARKED, (job, location) * 2)]


def count_open(journal: Journal) -> dict[str, int]:
    """Open rows by location; of the locations whose order is decided."""
    rows = journal.read(LocationCount, _COUNT_OPEN, (journal.hold.job, journal.hold.job))
    return {one.location: one.number for one in rows}


def find_standings(numbers: Iterable[int], journal: Journal) -> list[Standing]:
    """The states and positions of some rows of the location."""
    wanted = tuple(numbers)
    marks = ",".join("?" * len(wanted))
    query = f"SELECT number, line, rank, state FROM rows WHERE job = ? AND location = ? AND number IN ({marks})"
    return list(journal.read(Standing, query, (journal.hold.job, journal.hold.location, *wanted)))


def find_parking(number: int, journal: Journal) -> tuple[AppointmentUpdate, ...]:
    """What has moved the appointment of a row out of the way, or may have; empty if nothing has."""
    found = journal.read_one(_Updates, _PARKING, (journal.hold.job, journal.hold.location, number))
    return () if found is None else decode_updates(found.updates)


def find_outcomes(numbers: Iterable[int], journal: Journal) -> list[RowOutcome]:
    """The outcomes of some rows of the location."""
    job, location = journal.hold.job, journal.hold.location
    found = (journal.read_one(OutcomeColumns, _OUTCOME, (job, location, number)) for number in numbers)
    return [row.build() for row in found if row is not None]


def retry_failed(journal: Journal) -> int:
    """Re-queue the rows that failed or were skipped; returns how many. A cancelled job continues."""
    job = journal.hold.job
    with journal.commit():
        journal.write(_UNCANCEL, (job,))
        journal.write(_RETRY_PARKING, (job, job))
        count = journal.write(_RETRY, (job,))
        recount_all(journal)
        journal.write(_REOPEN, (job,))  # workers of other locations take this one again
    return count


def recount(journal: Journal) -> None:
    """Count anew how many rows of the location have which result. Inside a commit."""
    journal.write(f"{_RECOUNT} AND location = ?", (journal.hold.job, journal.hold.location))


def recount_all(journal: Journal) -> None:
    """The same for all locations of the job. Inside a commit."""
    journal.write(_RECOUNT, (journal.hold.job,))


def intend(number: int, now: float, *, repeated: bool = False) -> Entry:
    """The request of a row is about to be sent."""
    return Entry(_INTEND, (number, now, int(repeated)))


def finish(number: int, outcome: RowOutcome, now: float, seconds: float, shown: Appointment | None) -> Entry:
    """A row is finished."""
    record: Record = (
        number,
        outcome.state,
        now,
        seconds,
        outcome.attempts,
        int(outcome.repeated),
        outcome.reason and clean(outcome.reason),
        clean(outcome.trace_id) if outcome.trace_id else "",
        None if shown is None else encode_found(shown),
        clean(outcome.new_event_id) if outcome.new_event_id else "",
    )
    return Entry(_FINISH, record, outcome.state if number > 0 else None)


def give_back(number: int) -> Entry:
    """The request of a row was not sent after all."""
    return Entry(_GIVE_BACK, (number,))


def put_behind(number: int, rank: int, reason: str) -> Entry:
    """A row comes later; its state stays, sent or not."""
    return Entry(_PUT_BEHIND, (rank, clean(reason), number))


def postpone(number: int, rank: int, reason: str) -> Entry:
    """A row that was rejected is tried again after all others, and its appointment is read again before."""
    return Entry(_POSTPONE, (rank, clean(reason), number))


def take_back(number: int, reason: str) -> Entry:
    """The appointment of a row is no longer out of the way."""
    return Entry(_TAKE_BACK, (clean(reason), number))


def record_moment(at: float, kind: str, seconds: float) -> Entry:
    """The location was paused, or resumed."""
    return Entry(_MOMENT, (at, kind, seconds))


def _build_open(location: str, row: _OpenColumns) -> OpenRow:
    return OpenRow(
        row.number,
        row.line,
        row.event_id,
        location,
        row.state,
        row.rank,
        row.found,
        decode_updates(row.updates),
        tuple(map(int, row.waits_for.split())) if row.waits_for else (),
        row.parks,
        row.read_at or 0.0,
        row.new_start,
    )
