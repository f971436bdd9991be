"""From cells to changes: every row is held against its appointment before anything is sent.

What a row does is decided once, from the appointment as it was first read, and kept. When a job goes on
later, rows are read again, and those that somebody has changed meanwhile are left alone: refused before the first
write of the job, skipped after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec import structs

from ..._api.precondition import ReadingClock
from ..._api.readback import compare_update, list_changes
from ..._api.validate import check_update
from ...client import LeadConnector
from ...exceptions import LeadConnectorError, RowFault
from ...models import Appointment
from ..eta import ReadingLog
from ..journal import preparing
from ..journal import rows as journal_rows
from ..journal.columns import decode_found
from ..journal.preparing import CheckResult, PreparedRow, Unread
from ..journal.protocol import Journal
from ..journal.rows import Position
from ..journal.writer import JournalWriter
from ..plan.wanted import read_wanted
from ..states import JobOptions, RowOutcome, Stopped, describe_stop, wait_out
from .check import Rules, check_row, describe_changes, show_sent
from .conflicts import resolve_conflicts
from .reader import CalendarReader, EventReading

_AT_ONCE: Final = 50
"""Locations that are read at once."""

PLAN_AGAIN: Final = "make a new plan, or leave the row out: skip_refused, --skip-refused"
HasSent = Callable[[Journal], bool]


class Preparation:
    """Reads all that was not read yet, and decides what each row does and when."""

    def __init__(
        self,
        scribe: JournalWriter,
        options: JobOptions,
        find_client: Callable[[str], LeadConnector],
        clock: ReadingClock,
        log: ReadingLog,
        note: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._scribe = scribe
        self._options = options
        self._find_client = find_client
        self._clock = clock
        self._log = log
        self._has_sent: bool | None = None
        self._note = note
        self._read = 0
        self.changed: list[int] = []
        """Rows that were ready, and are not any more."""

    async def run(self) -> tuple[Stopped, ...]:
        """Prepare all locations. What cannot be carried out is `refused` in the journal, and among its faults.

        Returns why locations could not be read; their rows are left for another time.
        """
        locations = await self._scribe.run(preparing.list_locations)
        places = asyncio.Semaphore(_AT_ONCE)

        async def prepare(location: str) -> Stopped | None:
            async with places:
                while (stopped := await self._try_to_prepare(location)) is not None:
                    if not await wait_out(stopped):
                        break
            return stopped

        tasks = [asyncio.ensure_future(prepare(location)) for location in locations]
        try:
            return tuple(stopped for stopped in await asyncio.gather(*tasks) if stopped is not None)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self, location: str, after: Position, most: int) -> tuple[Position, list[RowOutcome]]:
        """Read the next rows of a location again; returns the last of them, and those that are left alone now."""
        self._has_sent = True  # or is about to
        end = await self._scribe.run(partial(preparing.forget_next, location, after, most))
        await self._read_location(location)
        return end, await self.list_changed()

    async def list_changed(self) -> list[RowOutcome]:
        """What has become of the rows in `changed`."""
        return await self._scribe.run(partial(journal_rows.find_outcomes, self.changed))

    async def _try_to_prepare(self, location: str) -> Stopped | None:
        try:
            await self._prepare(location)
        except LeadConnectorError as error:
            stopped = describe_stop(error, location)
            if stopped is None:
                raise
            return stopped
        return None

    async def _prepare(self, location: str) -> None:
        client = await self._read_location(location)
        if not await self._scribe.run(partial(preparing.is_ordered, location)):
            await resolve_conflicts(client, location, self._options.on_conflict, self._scribe.run)

    async def _read_location(self, location: str) -> LeadConnector:
        client = self._find_client(location).with_options(priority="bulk")
        rules = Rules(datetime.now(UTC), self._options.allow_past, client.version, location or client.location_id)

        async def keep(sights: list[EventReading]) -> None:
            self.changed += await self._scribe.run(partial(self._keep, sights, rules))
            self._read += len(sights)
            self._note(self._read)

        surveyor = CalendarReader(client, location, "to prepare", self._scribe.run, keep, self._clock)
        await surveyor.read_all(find_last_place)
        self._log.note(location, len(surveyor.calendars))
        return client

    def _keep(self, sights: list[EventReading], rules: Rules, journal: Journal) -> list[int]:
        rows = [(sight, preparing.read_row(sight.number, journal)) for sight in sights]
        with journal.commit():
            _keep_first([one for one in rows if one[1].state == "loaded"], rules, journal)
            return _keep_again(
                [one for one in rows if one[1].state == "ready"], rules, self._find_whether_sent, journal
            )

    def _find_whether_sent(self, journal: Journal) -> bool:
        """Looked up once, and only if it matters: nothing is sent while all is prepared."""
        if self._has_sent is None:
            self._has_sent = preparing.has_sent(journal)
        return self._has_sent


def find_last_place(row: Unread) -> tuple[str, datetime] | None:
    """Where a row's appointment was: as it was first read, or as the plan says that it was."""
    before = decode_found(row.found) if row.found is not None else read_wanted(row.wanted).before
    if before is None or before.calendar_id is None or before.start_time is None:
        return None
    return before.calendar_id, before.start_time


def _keep_first(sights: list[tuple[EventReading, PreparedRow]], rules: Rules, journal: Journal) -> None:
    """Write what each row does, from its appointment as it was first read."""
    found = [(sight, row, _judge(sight, row, rules)) for sight, row in sights]
    refused = [(row, finding) for _, row, finding in found if finding.state == "refused"]
    preparing.write_findings(
        [(sight.number, finding, sight.found, sight.read_at) for sight, _, finding in found], journal
    )
    preparing.write_faults([_build_fault(row, finding) for row, finding in refused], journal)


def _keep_again(
    sights: list[tuple[EventReading, PreparedRow]], rules: Rules, has_sent: HasSent, journal: Journal
) -> list[int]:
    """Leave alone what somebody has changed since it was first read; returns those that do not go any more."""
    left: list[int] = []
    for sight, row in sights:
        finding = _judge_again(sight, row, rules, journal)
        if finding is None:
            preparing.write_reading(sight.number, sight.read_at, journal)
            continue
        if finding.state == "refused" and has_sent(journal):
            finding = structs.replace(finding, state="skipped")
        elif finding.state == "refused":
            preparing.write_faults([_build_fault(row, finding)], journal)
        preparing.leave_out(sight.number, finding.state, finding.reason, sight.read_at, journal)
        left.append(sight.number)
    return left


def _build_fault(row: PreparedRow, finding: CheckResult) -> RowFault:
    return RowFault(row.line, finding.column, finding.reason, finding.hint)


def _judge(sight: EventReading, row: PreparedRow, rules: Rules) -> CheckResult:
    if sight.found is None:
        hint = "remove the row, or correct the id"
        return CheckResult("refused", column="event_id", reason=sight.reason, hint=hint)
    return check_row(sight.event_id, read_wanted(row.wanted), sight.found, rules)


def _judge_again(sight: EventReading, row: PreparedRow, rules: Rules, journal: Journal) -> CheckResult | None:
    """Why a row that was ready does not go any more; `None` if it still does."""
    if sight.found is None:
        reason = f"changed by somebody else: {sight.reason}"
        return CheckResult("refused", column="event_id", reason=reason, hint=PLAN_AGAIN)
    if compare_update(check_update(row.planned[-1], rules.version), sight.found) is True:
        return CheckResult("in_place")
    before = row.before
    changes = list_changes(before, sight.found)
    if not changes or _is_parked(sight, before, journal):
        return None
    return CheckResult("refused", column=changes[0].name, reason=describe_changes(changes), hint=PLAN_AGAIN)


def _is_parked(sight: EventReading, before: Appointment, journal: Journal) -> bool:
    """It stands where the job itself has put it, or may have, and is otherwise as it was."""
    parking = journal_rows.find_parking(sight.number, journal)
    return (
        bool(parking) and sight.found is not None and not list_changes(show_sent(before, parking[-1]), sight.found)
    )
