"""From cells to changes: every row is checked against its appointment before anything is sent.

What a row changes is decided once, from the appointment as it was first read, and saved. When a job is resumed,
rows are read again, and those whose appointment somebody else has changed are left alone: refused before the first
write of the job, skipped after it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec import structs

from ..._api.precondition import ReadingClock
from ..._api.readback import compare_update, list_changes
from ..._api.validate import check_update
from ...client import LeadConnector
from ...exceptions import RowFault
from ...models import Appointment
from ..eta import ReadingLog
from ..journal import preparing
from ..journal import rows as journal_rows
from ..journal.columns import decode_found
from ..journal.preparing import CheckResult, PreparedRow, Unread
from ..journal.protocol import Journal
from ..journal.rows import Position
from ..journal.writer import JournalWriter
from ..plan.wanted_change import read_wanted
from ..states import JobOptions, RowOutcome
from .check import Rules, check_row, describe_changes, show_sent
from .conflicts import resolve_conflicts
from .reader import CalendarReader, EventReading, KnownTime

PLAN_AGAIN: Final = "make a new plan, or leave the row out: skip_refused, --skip-refused"
_LONG_AGO: Final = 0.0
"""A row whose appointment is out of the way is read again in the run, which leaves it out and moves that back."""
HasSent = Callable[[Journal], bool]


class Preparation:
    """Reads what was not read yet of one location, and decides what each row changes and when."""

    def __init__(
        self,
        journal: JournalWriter,
        location: str,
        client: LeadConnector,
        options: JobOptions,
        clock: ReadingClock,
        log: ReadingLog,
        on_read: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._journal = journal
        self._location = location
        self._client = client.with_options(priority="bulk")
        self._options = options
        self._clock = clock
        self._log = log
        self._has_sent: bool | None = None
        self._on_read = on_read
        self._changed: list[int] = []

    async def run(self) -> None:
        """Prepare all rows. Those that cannot be carried out become `refused`, and their faults are saved.

        Raises an error that concerns the location; its rows stay as they are. `on_read` gets the number of rows
        that were just read.
        """
        await self._read()
        if not await self._journal.run(preparing.is_ordered):
            await resolve_conflicts(self._client, self._location, self._options.on_conflict, self._journal.run)

    async def refresh(self, after: Position, most: int) -> tuple[Position, list[RowOutcome]]:
        """Read the next rows again; returns the last of them, and those that will not be changed."""
        self._has_sent = True  # or is about to
        end = await self._journal.run(partial(preparing.forget_next, after, most))
        await self._read()
        return end, await self.list_changed()

    async def list_changed(self) -> list[RowOutcome]:
        """The outcomes of the rows that were pending and no longer are, because their appointment has changed."""
        return await self._journal.run(partial(journal_rows.find_outcomes, self._changed))

    async def _read(self) -> None:
        location, client = self._location, self._client
        rules = Rules(datetime.now(UTC), self._options.allow_past, client.version, location or client.location_id)

        async def save(readings: list[EventReading]) -> None:
            self._changed += await self._journal.run(partial(self._save, readings, rules))
            self._on_read(len(readings))

        reader = CalendarReader(client, location, "to prepare", self._journal.run, save, self._clock)
        await reader.read_all(find_known_time)
        self._log.record(location, len(reader.calendars))

    def _save(self, readings: list[EventReading], rules: Rules, journal: Journal) -> list[int]:
        found = preparing.read_rows([reading.number for reading in readings], journal)
        rows = list(zip(readings, found, strict=True))
        with journal.commit():
            _save_first([one for one in rows if one[1].state == "loaded"], rules, journal)
            return _save_again(
                [one for one in rows if one[1].state == "pending"], rules, self._check_has_sent, journal
            )

    def _check_has_sent(self, journal: Journal) -> bool:
        """Looked up once, and only if it matters: nothing is sent during preparation."""
        if self._has_sent is None:
            self._has_sent = preparing.has_sent(journal)
        return self._has_sent


def find_known_time(row: Unread) -> KnownTime | None:
    """Where a row's appointment was: as it was first read, or as its precondition says."""
    before = decode_found(row.found) if row.found is not None else read_wanted(row.wanted).before
    if before is None or before.calendar_id is None or before.start_time is None:
        return None
    return before.calendar_id, before.start_time


def _save_first(readings: list[tuple[EventReading, PreparedRow]], rules: Rules, journal: Journal) -> None:
    """Write what each row changes, decided from its appointment as it was first read."""
    results = [(reading, row, _check_first(reading, row, rules)) for reading, row in readings]
    refused = [(row, result) for _, row, result in results if result.state == "refused"]
    preparing.write_findings(
        [(reading.number, result, reading.found, reading.read_at) for reading, _, result in results], journal
    )
    preparing.write_faults([_build_fault(row, result) for row, result in refused], journal)


def _save_again(
    readings: list[tuple[EventReading, PreparedRow]], rules: Rules, has_sent: HasSent, journal: Journal
) -> list[int]:
    """Leave out rows whose appointment has been changed since it was first read; returns those."""
    dropped: list[int] = []
    kept: list[tuple[int, float]] = []
    for reading, row in readings:
        result = _check_again(reading, row, rules, journal)
        if result is None:
            kept.append((reading.number, reading.read_at))
            continue
        if result.state == "refused" and reading.found and journal_rows.find_parking(reading.number, journal):
            kept.append((reading.number, _LONG_AGO))
            continue
        if result.state == "refused" and has_sent(journal):
            result = structs.replace(result, state="skipped")
        elif result.state == "refused":
            preparing.write_faults([_build_fault(row, result)], journal)
        preparing.leave_out(reading.number, result.state, result.reason, reading.read_at, journal)
        dropped.append(reading.number)
    preparing.write_readings(kept, journal)
    return dropped


def _build_fault(row: PreparedRow, result: CheckResult) -> RowFault:
    return RowFault(row.line, result.column, result.reason, result.hint)


def _check_first(reading: EventReading, row: PreparedRow, rules: Rules) -> CheckResult:
    if reading.found is None:
        hint = "remove the row, or correct the id"
        return CheckResult("refused", column="event_id", reason=reading.reason, hint=hint)
    return check_row(reading.event_id, read_wanted(row.wanted), reading.found, rules)


def _check_again(reading: EventReading, row: PreparedRow, rules: Rules, journal: Journal) -> CheckResult | None:
    """Why a pending row must be left out; `None` if it need not be."""
    if reading.found is None:
        reason = f"changed by somebody else: {reading.reason}"
        return CheckResult("refused", column="event_id", reason=reason, hint=PLAN_AGAIN)
    if compare_update(check_update(row.planned[-1], rules.version), reading.found) is True:
        return CheckResult("unchanged")
    before = row.before
    changes = list_changes(before, reading.found)
    if not changes or _is_parked(reading, before, journal):
        return None
    return CheckResult("refused", column=changes[0].name, reason=describe_changes(changes), hint=PLAN_AGAIN)


def _is_parked(reading: EventReading, before: Appointment, journal: Journal) -> bool:
    """The job itself has moved it there, or may have, and it is otherwise as it was."""
    parking = journal_rows.find_parking(reading.number, journal)
    return (
        bool(parking)
        and reading.found is not None
        and not list_changes(show_sent(before, parking[-1]), reading.found)
    )
