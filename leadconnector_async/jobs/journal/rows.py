"""Rows in the journal: read as Structs, changed by entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from ..._api.fields import SHOWN
from ..._api.payloads import WireUpdate
from ..._validation.text import show
from ...exceptions import RowFault
from ...models import Appointment, AppointmentUpdate
from ...reschedule.plan import Difference
from ..states import RowOutcome, RowState
from .database import Journal, Record, Value
from .writer import Entry

_KEPT: Final = ("id", *SHOWN, "is_recurring", "master_event_id", "deleted")
_NAMES: Final = {field.name: field.encode_name for field in msgspec.structs.fields(Appointment)}
_encode: Final = msgspec.json.Encoder().encode
_decode_found: Final = msgspec.json.Decoder(Appointment).decode
_decode_updates: Final = msgspec.json.Decoder(list[WireUpdate]).decode
_decode_texts: Final = msgspec.json.Decoder(list[tuple[str, str, str]]).decode
_FIND: Final = """
    UPDATE rows SET state = ?, found = ?, updates = ?, differences = ?, reason = ?, read_at = ?,
        owner_before = ?, start_before = ?, end_before = ?, owner_after = ?, start_after = ?, end_after = ?
    WHERE number = ?
"""
_OPEN: Final = """
    SELECT number, line, event_id, state, rank, found, updates, waits_for, parks, read_at,
        CASE WHEN start_after IS NOT start_before THEN start_after END
    FROM rows INDEXED BY rows_open
    WHERE location = ? AND state IN ('ready', 'sent') AND (rank, number) > (?, ?) ORDER BY rank, number LIMIT ?
"""
_Columns: TypeAlias = tuple[
    int, int, str, RowState, int, bytes | None, bytes, str | None, int | None, float | None, int | None
]
"""What `_OPEN` selects."""
_INTEND: Final = """
    INSERT INTO rows (number, sent_at, repeated, line, location, event_id, key, wanted) VALUES {values}
    ON CONFLICT (number) DO UPDATE SET
        state = 'sent', sent_at = excluded.sent_at, repeated = MAX(repeated, excluded.repeated)
"""
"""Never inserts: the rows are there. It is the one form in which many rows change at once, each in its own way."""
_INTENDED: Final = "(?, ?, ?, 0, '', '', '', '')"
_FINISH: Final = """
    INSERT INTO rows (number, state, done_at, seconds, attempts, repeated, reason, trace_id, shown, new_id,
        line, location, event_id, key, wanted) VALUES {values}
    ON CONFLICT (number) DO UPDATE SET
        state = excluded.state, done_at = excluded.done_at, seconds = excluded.seconds,
        attempts = attempts + excluded.attempts, repeated = MAX(repeated, excluded.repeated),
        reason = excluded.reason, trace_id = excluded.trace_id, shown = excluded.shown, new_id = excluded.new_id
"""
_FINISHED: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', '', '', '')"
_PUT_BEHIND: Final = "UPDATE rows SET rank = ?, reason = ? WHERE number = ?"
_POSTPONE: Final = "UPDATE rows SET state = 'ready', rank = ?, reason = ? WHERE number = ?"
_TAKE_BACK: Final = "UPDATE rows SET state = 'skipped', reason = ? WHERE parks = ? AND state = 'applied'"
_OUTCOMES: Final = "SELECT line, event_id, location, state, reason, attempts, repeated, trace_id, new_id FROM rows"
_RETURN: Final = "UPDATE rows SET state = 'ready' WHERE number = ? AND state = 'sent'"


class OpenRow(Struct, frozen=True, gc=False):
    """A row that is on its turn, or will be. Nothing in it leads back to it, so no collector has to look."""

    number: int
    line: int
    event_id: str
    location: str
    state: RowState
    rank: int
    found: bytes | None
    """The appointment as it was read, encoded: few rows ever need it."""
    updates: tuple[AppointmentUpdate, ...]
    waits_for: tuple[int, ...]
    parks: int | None
    """It only gets another row's appointment out of the way."""
    read_at: float
    new_start: int | None
    """Where it moves to, in epoch seconds; `None` if it keeps its time."""

    @property
    def before(self) -> Appointment:
        """The appointment as it was read."""
        return decode_found(self.found)


def write_findings(
    journal: Journal, findings: Iterable[tuple[int, CheckResult, Appointment | None, float]]
) -> None:
    """Write what came of rows that were read, and when. Inside a commit."""
    journal.write_all(_FIND, [_build_finding(*finding) for finding in findings])


def write_faults(journal: Journal, faults: Iterable[RowFault]) -> None:
    """Write why rows cannot be carried out. Inside a commit."""
    records = [(fault.line, fault.column, fault.reason, fault.hint) for fault in faults]
    journal.write_all("INSERT INTO faults VALUES (?, ?, ?, ?)", records)


def fetch_open(location: str, after: tuple[int, int], most: int, journal: Journal) -> list[OpenRow]:
    """The next rows of a location, in their order."""
    return [_build_open(location, record) for record in journal.read(_OPEN, (location, *after, most))]


def intend(number: int, now: float, *, repeated: bool = False) -> Entry:
    """The request of a row is about to leave."""
    return Entry(_INTEND, (number, now, repeated), _INTENDED)


def finish(number: int, outcome: RowOutcome, now: float, seconds: float, shown: Appointment | None) -> Entry:
    """A row is finished."""
    record: Record = (
        number,
        outcome.state,
        now,
        seconds,
        outcome.attempts,
        outcome.repeated,
        outcome.reason,
        outcome.trace_id,
        None if shown is None else encode_found(shown),
        outcome.new_event_id,
    )
    return Entry(_FINISH, record, _FINISHED)


def give_back(number: int) -> Entry:
    """The request of a row has not left after all."""
    return Entry(_RETURN, (number,))


def put_behind(number: int, rank: int, reason: str) -> Entry:
    """A row comes later; whether it was sent already is another matter."""
    return Entry(_PUT_BEHIND, (rank, reason, number))


def take_back(number: int, reason: str) -> Entry:
    """The appointment of a row is no longer out of the way."""
    return Entry(_TAKE_BACK, (reason, number))


def postpone(number: int, rank: int, reason: str) -> Entry:
    """A row that was refused is tried again after all others."""
    return Entry(_POSTPONE, (rank, reason, number))


def encode_found(event: Appointment) -> bytes:
    """An appointment, less what it does not show."""
    return _encode({_NAMES[name]: value for name in _KEPT if (value := getattr(event, name)) is not None})


def decode_found(content: object) -> Appointment:
    """An appointment that was kept."""
    return _decode_found(content) if isinstance(content, bytes) else Appointment()


def decode_updates(content: object) -> tuple[AppointmentUpdate, ...]:
    """The updates that were planned for a row."""
    if not isinstance(content, bytes):
        return ()
    return tuple(AppointmentUpdate(**msgspec.structs.asdict(one)) for one in _decode_updates(content))


def decode_texts(content: object) -> list[tuple[str, str, str]]:
    """Differences as field, before and after, in words."""
    return _decode_texts(content) if isinstance(content, bytes) else []


def encode_updates(updates: Iterable[AppointmentUpdate]) -> bytes:
    """The updates that are planned for a row."""
    return _encode(list(updates))


class Standing(Struct, frozen=True):
    """Where a row stands."""

    number: int
    line: int
    rank: int
    state: RowState


def find_standings(numbers: Iterable[int], journal: Journal) -> list[Standing]:
    """Where some rows stand."""
    wanted = tuple(numbers)
    marks = ",".join("?" * len(wanted))
    query = f"SELECT number, line, rank, state FROM rows WHERE number IN ({marks})"  # noqa: S608 - marks only
    return [
        Standing(int(str(number)), int(str(line)), int(str(rank)), msgspec.convert(state, RowState))
        for number, line, rank, state in journal.read(query, wanted)
    ]


def find_parking(number: int, journal: Journal) -> tuple[AppointmentUpdate, ...]:
    """What has put the appointment of a row out of the way, or may have; nothing if it was not."""
    query = "SELECT updates FROM rows WHERE parks = ? AND state IN ('applied', 'unknown', 'sent')"
    record = journal.read_one(query, (number,))
    return decode_updates(record[0]) if record is not None else ()


def count_states(journal: Journal) -> dict[RowState, int]:
    """Rows of the plan in each state."""
    query = "SELECT state, COUNT(*) FROM rows WHERE parks IS NULL GROUP BY state"
    return {msgspec.convert(state, RowState): int(str(count)) for state, count in journal.read(query)}


def list_outcomes(journal: Journal, states: Iterable[RowState]) -> Iterator[RowOutcome]:
    """What has become of the rows of the plan in some states, by line."""
    wanted = tuple(states)
    marks = ",".join("?" * len(wanted))
    query = f"{_OUTCOMES} WHERE parks IS NULL AND state IN ({marks}) ORDER BY number"
    for record in journal.read(query, wanted):
        yield _build_outcome(record)


def find_outcomes(numbers: Iterable[int], journal: Journal) -> list[RowOutcome]:
    """What has become of some rows."""
    records = (journal.read_one(f"{_OUTCOMES} WHERE number = ?", (number,)) for number in numbers)
    return [_build_outcome(record) for record in records if record is not None]


def _build_outcome(record: Record) -> RowOutcome:
    line, event_id, location, state, reason, attempts, repeated, trace_id, new_id = record
    return RowOutcome(
        line=int(str(line)),
        event_id=str(event_id),
        location_id=str(location) or None,
        state=msgspec.convert(state, RowState),
        reason=str(reason),
        attempts=int(str(attempts)),
        repeated=bool(repeated),
        trace_id=None if trace_id is None else str(trace_id),
        new_event_id=None if new_id is None else str(new_id),
    )


def _build_finding(number: int, finding: CheckResult, found: Appointment | None, read_at: float) -> Record:
    return (
        finding.state,
        None if found is None else encode_found(found),
        encode_updates(finding.updates) if finding.updates else None,
        _encode(list(iterate_texts(finding.differences))) if finding.differences else None,
        finding.reason,
        read_at,
        *_flatten(finding.before),
        *_flatten(finding.after),
        number,
    )


def _flatten(stay: BusyTime | None) -> tuple[Value, Value, Value]:
    return (None, None, None) if stay is None else (stay.owner, stay.start, stay.end)


def _build_open(location: str, record: Record) -> OpenRow:
    columns = cast("_Columns", record)
    number, line, event_id, state, rank, found, updates, waits_for, parks, read_at, new_start = columns
    return OpenRow(
        number,
        line,
        event_id,
        location,
        state,
        rank,
        found,
        decode_updates(updates),
        tuple(map(int, waits_for.split())) if waits_for else (),
        parks,
        read_at or 0.0,
        new_start,
    )


_OPEN_STATES: Final = """
    SELECT location, SUM(parks IS NULL) FROM rows
    WHERE state IN ('ready', 'sent') AND location IN (SELECT location FROM settled) GROUP BY location
"""
_AGAIN: Final = """
    UPDATE rows SET state = 'ready', rank = MIN(rank, 999999), reason = '', read_at = NULL
    WHERE state IN ('failed', 'skipped') AND updates IS NOT NULL AND parks IS NULL
"""
_PARK_AGAIN: Final = """
    UPDATE rows SET state = 'ready' WHERE state IN ('failed', 'skipped') AND parks IN (
        SELECT number FROM rows WHERE state IN ('failed', 'skipped') AND parks IS NULL
    )
"""


def try_again(journal: Journal) -> int:
    """Put the rows that failed or were skipped on their turn again; returns how many."""
    with journal.commit():
        journal.write(_PARK_AGAIN)
        return journal.write(_AGAIN)


def count_open(journal: Journal) -> dict[str, int]:
    """Rows that are on their turn, by location; of locations whose order is settled."""
    return {str(location): int(str(count)) for location, count in journal.read(_OPEN_STATES)}


class BusyTime(Struct, frozen=True):
    """Whose time an appointment takes, as a half-open interval of epoch seconds."""

    owner: str | None
    """The assignee, or the calendar where there is none; `None`: it takes nobody's time."""
    start: int
    end: int


class CheckResult(Struct, frozen=True):
    """What came of a row."""

    state: RowState
    updates: tuple[AppointmentUpdate, ...] = ()
    differences: tuple[Difference, ...] = ()
    before: BusyTime | None = None
    after: BusyTime | None = None
    column: str = ""
    reason: str = ""
    hint: str = ""


def render_value(value: object) -> str:
    """A value as people read it."""
    return value.isoformat(timespec="minutes") if isinstance(value, datetime) else show(value)


def iterate_texts(differences: tuple[Difference, ...]) -> Iterator[tuple[str, str, str]]:
    """Differences as field, before and after, in words."""
    for difference in differences:
        yield difference.field, render_value(difference.before), render_value(difference.after)


Position = tuple[int, int]
"""Rank and number of a row."""
