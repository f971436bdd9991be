"""Rows counted and listed: status, preview, outcome files and report.

Counting is done in the database: each result has at most a few dozen numbers, however many rows the job has. Rows
that only move an appointment out of the way are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import floor
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ...exceptions import RowFault
from ...models import Appointment, AppointmentUpdate
from ..plan.wanted_change import WantedChange, read_wanted
from ..states import JobSummary, RowOutcome, RowState
from .columns import OUTCOME_COLUMNS, OutcomeColumns, decode_differences, decode_found, decode_updates
from .facts import Count, LocationCount
from .protocol import Journal
from .tables import NOT_CHANGED, TO_SEND, render_states

Listing: TypeAlias = Literal["not changed", "unknown", "repeated"]
"""The rows that outcome files and the report list."""
_LISTED: Final[dict[Listing, str]] = {
    "not changed": f"state IN {NOT_CHANGED}",
    "unknown": "state = 'unknown'",
    "repeated": "repeated = 1",
}
_STATES: Final = "SELECT state, COUNT(*) FROM rows WHERE job = ? AND parks IS NULL GROUP BY state"
_STATES_BY_LOCATION: Final = """
    SELECT location, state, COUNT(*) FROM rows WHERE job = ? AND parks IS NULL GROUP BY state, location
"""
_REPEATED: Final = "SELECT COUNT(*) FROM rows WHERE job = ? AND repeated = 1 AND parks IS NULL"
_LAST_CHANGE: Final = "SELECT MAX(done_at) FROM rows WHERE job = ? AND state IN ('applied', 'unknown')"
_TOTALS: Final = "SELECT SUM(attempts), MIN(sent_at), MAX(done_at) FROM rows WHERE job = ?"
_CHANGES: Final = """
    SELECT line, event_id, location, wanted, found, differences,
        owner_before, start_before, end_before, owner_after, start_after, end_after, state
    FROM rows WHERE job = ? AND {states} AND parks IS NULL AND differences IS NOT NULL ORDER BY number
"""
_PLANNED: Final = """
    SELECT location, event_id FROM rows WHERE job = ? AND state IN ('pending', 'unchanged') AND parks IS NULL
"""
_REQUESTS: Final = f"""
    SELECT location, SUM(CASE WHEN requests > 1 THEN 2 ELSE 1 END) FROM rows
    WHERE job = ? AND state IN {TO_SEND} GROUP BY location
"""
_FAULTS: Final = "SELECT line, column_name, reason, hint FROM faults WHERE job = ? ORDER BY line LIMIT ?"
_COUNT_FAULTS: Final = "SELECT COUNT(*) FROM faults WHERE job = ?"
_LISTED_ROWS: Final = """
    SELECT line, event_id, location, wanted, state, reason, attempts, trace_id, updates, found,
        start_before
    FROM rows
    WHERE job = ? AND parks IS NULL AND {listed} ORDER BY number
"""
_OUTCOMES: Final = f"""
    SELECT {OUTCOME_COLUMNS}, number FROM rows
    WHERE job = ? AND parks IS NULL AND state IN {{states}} AND number > ? ORDER BY number LIMIT ?
"""
_SPAN: Final = "SELECT MIN(done_at), MAX(done_at) FROM rows WHERE job = ? AND parks IS NULL"
_SLOTS: Final = """
    SELECT (CAST(ROUND(done_at * 1000) AS BIGINT) - ?) / ? AS slot, COUNT(*) FROM rows
    WHERE job = ? AND done_at IS NOT NULL AND parks IS NULL GROUP BY slot ORDER BY slot
"""
"""Rounded first: a cast alone truncates in SQLite, and rounds in Postgres."""
_PAUSES: Final = "SELECT location, at, seconds FROM moments WHERE job = ? AND kind = 'paused' ORDER BY location, at"
_LATENCIES: Final = """
    SELECT CAST(ROUND(seconds * 10000) AS BIGINT) AS tenth, COUNT(*) FROM rows
    WHERE job = ? AND seconds > 0 AND parks IS NULL GROUP BY tenth ORDER BY tenth
"""
_COUNT_LOCATIONS: Final = "SELECT COUNT(*) FROM locations WHERE job = ?"
_DAYS: Final = """
    SELECT (start_before + zone) / 86400 AS day_before, (start_now + zone) / 86400 AS day_now, COUNT(*) FROM (
        SELECT start_before, CASE state WHEN 'applied' THEN start_after ELSE start_before END AS start_now,
            COALESCE(zone_offset, 0) AS zone
        FROM rows WHERE job = ? AND parks IS NULL AND start_before IS NOT NULL AND start_after IS NOT NULL
    ) AS moves
    GROUP BY day_before, day_now
"""


class Totals(Struct, frozen=True, array_like=True):
    """Requests of a job, and when it ran, in seconds since the epoch."""

    requests: int | None
    first_sent: float | None
    last_done: float | None


class ListedRow(Struct, frozen=True, array_like=True):
    """A row as outcome files and the report show it."""

    line: int
    event_id: str
    location: str
    wanted_content: bytes
    state: RowState
    reason: str
    attempts: int
    trace_id: str | None
    updates: bytes | None
    found: bytes | None
    start_before: int | None
    """In seconds since the epoch."""

    @property
    def before(self) -> Appointment:
        """The appointment as it was first read; an empty one if it was not."""
        return decode_found(self.found)

    @property
    def wanted(self) -> WantedChange:
        """What the row of the plan says."""
        return read_wanted(self.wanted_content)

    @property
    def planned(self) -> tuple[AppointmentUpdate, ...]:
        """The updates to send, in order; empty if the row was not checked."""
        return decode_updates(self.updates)


class ChangeRow(Struct, frozen=True, array_like=True):
    """A row that changes an appointment. Times are in seconds since the epoch."""

    line: int
    event_id: str
    location: str
    wanted_content: bytes
    found: bytes | None
    content: bytes | None
    owner_before: str | None
    start_before: int | None
    end_before: int | None
    owner_after: str | None
    start_after: int | None
    end_after: int | None
    state: RowState

    @property
    def wanted(self) -> WantedChange:
        """What the row of the plan says."""
        return read_wanted(self.wanted_content)

    @property
    def before(self) -> Appointment:
        """The appointment as it was first read."""
        return decode_found(self.found)

    @property
    def differences(self) -> tuple[tuple[str, str, str], ...]:
        """Field, before and after, in words."""
        return tuple(decode_differences(self.content))


class _PlannedRow(Struct, frozen=True, array_like=True):
    location: str
    event_id: str


class Pause(Struct, frozen=True, array_like=True):
    """A pause of a location: seconds since the epoch, and its length in seconds."""

    location: str
    at: float
    seconds: float


class SlotCount(Struct, frozen=True, array_like=True):
    """How many rows fall into a slot of time, by its number."""

    slot: int
    count: int


class DayCount(Struct, frozen=True, array_like=True):
    """How many appointments were on one day and are on another, in days since the epoch."""

    before: int
    now: int
    count: int


class Span(Struct, frozen=True, array_like=True):
    """When the first and the last row were finished, in seconds since the epoch."""

    first: float | None
    last: float | None


class _StateCount(Struct, frozen=True, array_like=True):
    state: RowState
    count: int


class _LocationStateCount(Struct, frozen=True, array_like=True):
    location: str
    state: RowState
    count: int


class _NumberedOutcome(OutcomeColumns, frozen=True, array_like=True):
    number: int


class _Moment(Struct, frozen=True, array_like=True):
    at: float | None


class _Fault(Struct, frozen=True, array_like=True):
    line: int
    column: str
    reason: str
    hint: str


def summarize(journal: Journal) -> JobSummary:
    """The figures of a job."""
    counts: dict[RowState, int] = {
        one.state: one.count for one in journal.read(_StateCount, _STATES, (journal.hold.job,))
    }
    return JobSummary(counts=counts, repeated=_read_count(_REPEATED, journal))


def count_by_location(journal: Journal) -> dict[str, dict[RowState, int]]:
    """Rows in each state, by location."""
    found: dict[str, dict[RowState, int]] = {}
    rows = journal.read(_LocationStateCount, _STATES_BY_LOCATION, (journal.hold.job,))
    for one in sorted(rows, key=lambda one: one.location):
        found.setdefault(one.location, {})[one.state] = one.count
    return found


def find_last_change(journal: Journal) -> float | None:
    """When the last row got its outcome, in seconds since the epoch."""
    found = journal.read_one(_Moment, _LAST_CHANGE, (journal.hold.job,))
    return None if found is None else found.at


def read_totals(journal: Journal) -> Totals:
    """Requests of a job, and when it ran."""
    return journal.read_one(Totals, _TOTALS, (journal.hold.job,)) or Totals(None, None, None)


def list_changes(journal: Journal) -> Iterator[ChangeRow]:
    """The pending rows, by line."""
    return journal.stream(ChangeRow, _CHANGES.format(states="state = 'pending'"), (journal.hold.job,))


def list_reported(journal: Journal) -> Iterator[ChangeRow]:
    """The rows whose change was planned, by line, except those that were not changed."""
    return journal.stream(ChangeRow, _CHANGES.format(states=f"state NOT IN {NOT_CHANGED}"), (journal.hold.job,))


def list_planned(journal: Journal) -> Iterator[tuple[str, str]]:
    """Location and event of the rows that can be carried out, or are already as planned."""
    rows = journal.stream(_PlannedRow, _PLANNED, (journal.hold.job,))
    return ((row.location, row.event_id) for row in rows)


def count_requests(journal: Journal) -> dict[str, int]:
    """Changes to send, by location."""
    return {one.location: one.number for one in journal.read(LocationCount, _REQUESTS, (journal.hold.job,))}


def list_faults(most: int, journal: Journal) -> tuple[list[RowFault], int]:
    """Why rows were refused, by line: of very many the first ones; and how many there are."""
    rows = journal.read(_Fault, _FAULTS, (journal.hold.job, most))
    faults = [RowFault(one.line, one.column, one.reason, one.hint) for one in rows]
    return faults, _read_count(_COUNT_FAULTS, journal)


def list_rows(listing: Listing, journal: Journal, most: int | None = None) -> Iterator[ListedRow]:
    """Rows of the plan that outcome files and the report list, by line."""
    query = _LISTED_ROWS.format(listed=_LISTED[listing])
    return journal.stream(ListedRow, query if most is None else f"{query} LIMIT {most}", (journal.hold.job,))


def list_outcomes(
    states: Iterable[RowState], after: int, most: int, journal: Journal
) -> tuple[list[RowOutcome], int | None]:
    """A page of rows in some states, by line; and the number after which the next page begins, if there is one."""
    query = _OUTCOMES.format(states=render_states(states))
    found = list(journal.read(_NumberedOutcome, query, (journal.hold.job, after, most + 1)))
    return [one.build() for one in found[:most]], found[most - 1].number if len(found) > most else None


def find_span(journal: Journal) -> Span:
    """When the first and the last row were finished."""
    return journal.read_one(Span, _SPAN, (journal.hold.job,)) or Span(None, None)


def count_finished(first: float, width: float, journal: Journal) -> list[SlotCount]:
    """Rows finished in each slot of `width` seconds since `first`, in order; slots without any are missing.

    The width is rounded to milliseconds.
    """
    return list(journal.read(SlotCount, _SLOTS, (floor(first * 1000), round(width * 1000), journal.hold.job)))


def count_latencies(journal: Journal) -> list[SlotCount]:
    """Rows by the tenths of a millisecond that their last response took, in order."""
    return list(journal.read(SlotCount, _LATENCIES, (journal.hold.job,)))


def list_pauses(journal: Journal) -> Iterator[Pause]:
    """The pauses of all locations, by location and time."""
    return journal.stream(Pause, _PAUSES, (journal.hold.job,))


def count_locations(journal: Journal) -> int:
    """Locations with rows."""
    return _read_count(_COUNT_LOCATIONS, journal)


def count_days(journal: Journal) -> Iterator[DayCount]:
    """Appointments whose change was planned, by day: where they were, and where they are now."""
    return journal.stream(DayCount, _DAYS, (journal.hold.job,))


def _read_count(query: str, journal: Journal) -> int:
    found = journal.read_one(Count, query, (journal.hold.job,))
    return 0 if found is None else found.number
