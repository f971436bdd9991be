"""Rows while they are prepared: what is read of the calendar, and what each row will do, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ...exceptions import RowFault
from ...models import Appointment, AppointmentUpdate
from ...reschedule.plan import Difference
from ..states import RowState
from .columns import (
    clean,
    decode_found,
    decode_updates,
    encode_differences,
    encode_found,
    encode_updates,
    find_offset,
)
from .facts import Count, Text
from .groups import Group, Record, Value
from .protocol import DamagedError, Journal
from .rows import Position
from .tables import SENT, TO_READ, TO_SEND

Selection: TypeAlias = Literal["to prepare", "sent", "to undo", "unknown"]
"""Which rows are read from the calendar: those to check before they are sent, those that were sent or may have
been, the same with those that have only moved an appointment out of the way, or those whose outcome is unknown.
"""
SELECTED: Final[dict[Selection, str]] = {
    "to prepare": f"state IN {TO_READ}",
    "sent": f"state IN {SENT} AND parks IS NULL",
    "to undo": f"""
        state IN {SENT} AND (
            parks IS NULL OR EXISTS (
                SELECT 1 FROM rows AS other
                WHERE other.job = rows.job AND other.location = rows.location AND other.number = rows.parks
                    AND other.state NOT IN {SENT}
            )
        )
    """,
    "unknown": "state = 'unknown'",
}
_MOST_IN_QUERY: Final = 500
_UNREAD: Final = """
    SELECT number, COALESCE(new_id, event_id), wanted, found FROM rows
    WHERE job = ? AND location = ? AND read_at IS NULL AND {selected} ORDER BY number LIMIT ?
"""
_UNREAD_BY_ID: Final = """
    SELECT number, COALESCE(new_id, event_id), wanted, found FROM rows
    WHERE job = ? AND location = ? AND {has_id} AND read_at IS NULL AND parks IS NULL AND {selected}
"""
_HAS_ID: Final = ("event_id IN ({marks}) AND new_id IS NULL", "new_id IN ({marks})")
"""Two queries, so that each uses an index: an event that got another id is known by that."""
_ROWS: Final = """
    SELECT number, line, wanted, state, found, updates FROM rows
    WHERE job = ? AND location = ? AND number IN ({marks})
"""
_LOCATIONS: Final = f"""
    SELECT location FROM rows WHERE job = ? AND read_at IS NULL AND state IN {TO_READ}
    UNION SELECT location FROM locations WHERE job = ? AND prepared = 0 ORDER BY location
"""
_FORGET: Final = """
    UPDATE rows SET read_at = NULL
    WHERE job = ? AND state = 'pending' AND parks IS NULL AND read_at IS NOT NULL
"""
_FORGET_SOME: Final = Group(
    ("number",), "read_at = NULL", "rows.state = 'pending' AND rows.parks IS NULL AND rows.read_at IS NOT NULL"
)
_NEXT: Final = f"""
    SELECT rank, number FROM rows
    WHERE job = ? AND location = ? AND state IN {TO_SEND} AND (rank, number) > (?, ?) ORDER BY rank, number LIMIT ?
"""
_HAS_SENT: Final = "SELECT id FROM jobs WHERE id = ? AND began_at IS NOT NULL"
_FOUND: Final = (
    *("state", "found", "zone_offset", "updates", "requests", "differences", "reason", "read_at"),
    *("owner_before", "start_before", "end_before", "owner_after", "start_after", "end_after"),
)
_FIND: Final = Group(("number", *_FOUND), ", ".join(f"{name} = new.{name}" for name in _FOUND))
_READ_AGAIN: Final = Group(("number", "read_at"), "read_at = new.read_at")
_LEAVE_OUT: Final = """
    UPDATE rows SET state = ?, reason = ?, read_at = ? WHERE job = ? AND location = ? AND number = ?
"""
_LEAVE_OUT_PARKING: Final = """
    UPDATE rows SET state = 'skipped' WHERE job = ? AND location = ? AND parks = ? AND state = 'pending'
"""
_LEFT_OUT: Final = """
    UPDATE locations SET unchanged = unchanged + ?, not_changed = not_changed + ? WHERE job = ? AND location = ?
"""
_FAULT: Final = """
    INSERT INTO faults (job, location, line, column_name, reason, hint) VALUES (?, ?, ?, ?, ?, ?)
"""
_MOVES: Final = """
    SELECT number, owner_before, start_before, end_before, owner_after, start_after, end_after FROM rows
    WHERE job = ? AND location = ? AND state IN ('pending', 'unchanged')
        AND start_before IS NOT NULL AND start_after IS NOT NULL AND parks IS NULL
    ORDER BY number
"""
_IS_WANTED: Final = """
    SELECT number FROM rows
    WHERE job = ? AND location = ? AND owner_after = ? AND start_after < ? AND end_after > ? LIMIT 1
"""
_IS_ORDERED: Final = "SELECT location FROM locations WHERE job = ? AND location = ? AND prepared = 1"
_SET_ORDERED: Final = "UPDATE locations SET prepared = 1 WHERE job = ? AND location = ?"
_ORDER: Final = Group(("number", "rank", "waits_for"), "rank = new.rank, waits_for = new.waits_for")
_REFUSE: Final = "UPDATE rows SET state = 'refused', reason = ? WHERE job = ? AND location = ? AND number = ?"
_SKIP: Final = """
    UPDATE rows SET state = 'skipped', reason = ?
    WHERE job = ? AND location = ? AND number = ? AND state = 'pending'
"""
_SEND_FIRST: Final = """
    UPDATE rows SET updates = ?, rank = 0, waits_for = NULL WHERE job = ? AND location = ? AND number = ?
"""
_ADD_PARKING: Final = """
    INSERT INTO rows
        (job, number, line, location, event_id, wanted, state, found, updates, requests, parks, read_at, rank)
    SELECT job, -number, line, location, event_id, wanted, 'pending', found, ?, ?, number, read_at, -1 FROM rows
    WHERE job = ? AND location = ? AND number = ?
"""
_WAIT_FOR: Final = """
    UPDATE rows SET waits_for = TRIM(COALESCE(waits_for, '') || ' ' || ?)
    WHERE job = ? AND location = ? AND number = ?
"""


class BusyTime(Struct, frozen=True):
    """Whose time an appointment takes, as a half-open interval of epoch seconds."""

    owner: str | None
    """The assignee, or the calendar where there is none; `None`: it takes nobody's time."""
    start: int
    end: int


class CheckResult(Struct, frozen=True):
    """What the check of a row against its appointment has shown."""

    state: RowState
    updates: tuple[AppointmentUpdate, ...] = ()
    differences: tuple[Difference, ...] = ()
    before: BusyTime | None = None
    after: BusyTime | None = None
    column: str = ""
    reason: str = ""
    hint: str = ""


class Unread(Struct, frozen=True, array_like=True):
    """A row whose appointment is to be read."""

    number: int
    event_id: str
    wanted: bytes
    found: bytes | None = None
    """The appointment as it was first read, encoded."""


class Move(Struct, frozen=True, array_like=True, gc=False):
    """One row: whose time it takes now, and whose it will take."""

    number: int
    """The row; no two have the same."""
    owner_before: str | None
    """Whose time it takes now; `None`: nobody's, because it is cancelled or has no assignee."""
    start_before: int
    """Seconds since the epoch, as all times here; the end is not part of the interval."""
    end_before: int
    owner_after: str | None
    """Whose time it will take; `None`: nobody's."""
    start_after: int
    end_after: int


class PreparedRow(Struct, frozen=True, array_like=True):
    """A row with all that was decided about it."""

    number: int
    line: int
    wanted: bytes
    state: RowState
    found: bytes | None
    updates: bytes | None

    @property
    def before(self) -> Appointment:
        """The appointment as it was first read."""
        return decode_found(self.found)

    @property
    def planned(self) -> tuple[AppointmentUpdate, ...]:
        """The updates to send, in order."""
        return decode_updates(self.updates)


class _Position(Struct, frozen=True, array_like=True):
    rank: int
    number: int


def list_locations(journal: Journal) -> list[str]:
    """Locations with rows to read, or whose order is not decided."""
    job = journal.hold.job
    return [one.text for one in journal.read(Text, _LOCATIONS, (job, job))]


def list_unread(selection: Selection, most: int, journal: Journal) -> list[Unread]:
    """The next rows of the location whose appointments are to be read."""
    query = _UNREAD.format(selected=SELECTED[selection])
    return list(journal.read(Unread, query, (*_name_location(journal), most)))


def match_unread(selection: Selection, event_ids: list[str], journal: Journal) -> list[Unread]:
    """The rows to read that are about some events."""
    rows: list[Unread] = []
    for first in range(0, len(event_ids), _MOST_IN_QUERY):
        some = event_ids[first : first + _MOST_IN_QUERY]
        marks = ",".join("?" * len(some))
        for has_id in _HAS_ID:
            query = _UNREAD_BY_ID.format(has_id=has_id.format(marks=marks), selected=SELECTED[selection])
            rows += journal.read(Unread, query, (*_name_location(journal), *some))
    return rows


def read_row(number: int, journal: Journal) -> PreparedRow:
    """A row of the location by its number."""
    [row] = read_rows([number], journal)
    return row


def read_rows(numbers: Sequence[int], journal: Journal) -> list[PreparedRow]:
    """Rows of the location by their numbers, in this order: many per statement, each of which is a round trip."""
    found: dict[int, PreparedRow] = {}
    for first in range(0, len(numbers), _MOST_IN_QUERY):
        some = numbers[first : first + _MOST_IN_QUERY]
        query = _ROWS.format(marks=",".join("?" * len(some)))
        found |= {row.number: row for row in journal.read(PreparedRow, query, (*_name_location(journal), *some))}
    for number in numbers:
        if number not in found:
            raise DamagedError(f"The journal is damaged: it has no row {number}.")
    return [found[number] for number in numbers]


def forget_readings(journal: Journal) -> None:
    """Have all pending rows read again."""
    journal.write(_FORGET, (journal.hold.job,))


def forget_location(journal: Journal) -> None:
    """Have the pending rows of the location read again."""
    with journal.commit():
        journal.write(f"{_FORGET} AND location = ?", _name_location(journal), in_steps=True)


def list_all_locations(journal: Journal) -> list[str]:
    """All locations of the job."""
    query = "SELECT location FROM locations WHERE job = ? ORDER BY location"
    return [one.text for one in journal.read(Text, query, (journal.hold.job,))]


def forget_next(after: Position, most: int, journal: Journal) -> Position:
    """Have the next rows of the location read again; returns the position of the last one."""
    positions = list(journal.read(_Position, _NEXT, (*_name_location(journal), *after, most)))
    with journal.commit():
        journal.write_group(_FORGET_SOME, [(one.number,) for one in positions])
    return (positions[-1].rank, positions[-1].number) if positions else after


def has_sent(journal: Journal) -> bool:
    """Whether the job has begun to run, so that something may have been sent."""
    return journal.read_one(Count, _HAS_SENT, (journal.hold.job,)) is not None


def write_findings(
    findings: Iterable[tuple[int, CheckResult, Appointment | None, float]], journal: Journal
) -> None:
    """Write what rows do: number, finding, appointment, and when it was read. Inside a commit."""
    journal.write_group(_FIND, [_build_finding(*finding) for finding in findings])


def write_faults(faults: Iterable[RowFault], journal: Journal) -> None:
    """Write why rows of the location are refused. Inside a commit."""
    place = _name_location(journal)
    journal.write_all(
        _FAULT, [(*place, fault.line, fault.column, clean(fault.reason), clean(fault.hint)) for fault in faults]
    )


def write_readings(readings: Sequence[tuple[int, float]], journal: Journal) -> None:
    """Appointments were read again, and nothing about them has changed: number, and when. Inside a commit."""
    journal.write_group(_READ_AGAIN, readings)


def leave_out(number: int, state: RowState, reason: str, read_at: float, journal: Journal) -> None:
    """A row is not sent any more, so nothing has to move out of its way. Inside a commit."""
    journal.write(_LEAVE_OUT, (state, clean(reason), read_at, *_name_row(number, journal)))
    journal.write(_LEAVE_OUT_PARKING, _name_row(number, journal))
    unchanged = int(state == "unchanged")
    journal.write(_LEFT_OUT, (unchanged, 1 - unchanged, *_name_location(journal)))


def list_moves(journal: Journal) -> Iterator[Move]:
    """The rows of the location whose order matters."""
    return journal.stream(Move, _MOVES, _name_location(journal))


def is_wanted(owner: str | None, start: int, end: int, journal: Journal) -> bool:
    """Whether a row of the location wants somebody's time in an interval of epoch seconds."""
    values = (*_name_location(journal), None if owner is None else clean(owner), end, start)
    return journal.read_one(Count, _IS_WANTED, values) is not None


def is_ordered(journal: Journal) -> bool:
    """Whether the order of the location's rows is decided."""
    return journal.read_one(Text, _IS_ORDERED, _name_location(journal)) is not None


def write_order(order: Iterable[tuple[int, int, Iterable[int]]], journal: Journal) -> None:
    """Write the order of the location: number, rank and the rows to wait for, of each row. Inside a commit."""
    journal.write(_SET_ORDERED, _name_location(journal))
    records: list[Record] = [(number, rank, " ".join(map(str, blockers))) for number, rank, blockers in order]
    journal.write_group(_ORDER, records)


def refuse(number: int, fault: RowFault, journal: Journal) -> None:
    """A row is refused. Inside a commit."""
    write_faults([fault], journal)
    journal.write(_REFUSE, (clean(fault.reason), *_name_row(number, journal)))


def skip(numbers: Iterable[int], reason: str, journal: Journal) -> None:
    """Rows are left out if they are pending. Inside a commit."""
    journal.write_all(_SKIP, [(clean(reason), *_name_row(number, journal)) for number in numbers])


def send_first(number: int, updates: Iterable[AppointmentUpdate], journal: Journal) -> None:
    """A row waits for no others, and sends other updates. Inside a commit."""
    journal.write(_SEND_FIRST, (encode_updates(updates), *_name_row(number, journal)))


def add_parking(
    number: int, updates: Sequence[AppointmentUpdate], waiting: Iterable[int], journal: Journal
) -> None:
    """Add a row that moves the appointment of another one out of the way; others wait for it. Inside a commit.

    Its number is that of the other, negative: nobody else can have given the same to another.
    """
    journal.write(_ADD_PARKING, (encode_updates(updates), len(updates), *_name_row(number, journal)))
    journal.write_all(_WAIT_FOR, [(str(-number), *_name_row(one, journal)) for one in waiting])


def _name_location(journal: Journal) -> tuple[int, str]:
    return journal.hold.job, journal.hold.location


def _name_row(number: int, journal: Journal) -> tuple[int, str, int]:
    return journal.hold.job, journal.hold.location, number


def _build_finding(number: int, finding: CheckResult, found: Appointment | None, read_at: float) -> Record:
    return (
        number,
        finding.state,
        None if found is None else encode_found(found),
        None if found is None else find_offset(found.start_time),
        encode_updates(finding.updates) if finding.updates else None,
        len(finding.updates),
        encode_differences(finding.differences) if finding.differences else None,
        clean(finding.reason),
        read_at,
        *_flatten(finding.before),
        *_flatten(finding.after),
    )


def _flatten(stay: BusyTime | None) -> tuple[Value, Value, Value]:
    if stay is None:
        return None, None, None
    return None if stay.owner is None else clean(stay.owner), stay.start, stay.end
