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
from typing import Final, cast

from msgspec import Struct, structs

from ..._api.precondition import ReadingClock
from ..._api.readback import compare_update, list_changes
from ..._api.validate import check_update
from ...client import LeadConnector
from ...exceptions import LeadConnectorError, RowFault
from ...models import Appointment
from ..eta import ReadingLog
from ..journal import rows as journal_rows
from ..journal.database import Journal
from ..journal.rows import CheckResult, Position, decode_found, decode_updates
from ..journal.writer import JournalWriter
from ..plan.wanted import read_wanted
from ..states import JobOptions, RowOutcome, Stopped, describe_stop, wait_out
from .check import Rules, check_row, describe_changes, show_sent
from .conflicts import resolve_conflicts
from .reader import TO_PREPARE, CalendarReader, EventReading, Unread

_AT_ONCE: Final = 50
"""Locations that are read at once."""
_ROW: Final = "SELECT line, wanted, state, found, updates FROM rows WHERE number = ?"
_FORGET: Final = "UPDATE rows SET read_at = NULL WHERE state = 'ready' AND parks IS NULL"
_NEXT: Final = """
    SELECT rank, number FROM rows INDEXED BY rows_open
    WHERE location = ? AND state IN ('ready', 'sent') AND (rank, number) > (?, ?)
    ORDER BY rank, number LIMIT ?
"""
_FORGET_ONE: Final = "UPDATE rows SET read_at = NULL WHERE number = ? AND state = 'ready' AND parks IS NULL"
_HAS_SENT: Final = "SELECT 1 FROM rows WHERE sent_at IS NOT NULL LIMIT 1"
_LOCATIONS: Final = """
    SELECT location FROM rows WHERE read_at IS NULL AND state IN ('loaded', 'ready')
    UNION SELECT location FROM rows WHERE location NOT IN (SELECT location FROM settled)
"""
_KEEP: Final = "UPDATE rows SET read_at = ? WHERE number = ?"
_LEAVE_PARKING: Final = "UPDATE rows SET state = 'skipped' WHERE parks = ? AND state = 'ready'"
"""A row that does not go any more needs nobody out of its way."""
_LEAVE: Final = "UPDATE rows SET state = ?, reason = ?, read_at = ? WHERE number = ?"


PLAN_AGAIN: Final = "make a new plan, or leave the row out: skip_refused, --skip-refused"
HasSent = Callable[[Journal], bool]


class _Row(Struct, frozen=True):
    line: int
    wanted: bytes
    state: str
    found: object
    updates: object


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
        locations = await self._scribe.run(_list_locations)
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
        end = await self._scribe.run(partial(_forget_next, location, after, most))
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
        if not await self._scribe.run(partial(_is_settled, location)):
            await resolve_conflicts(client, location, self._options.on_conflict, self._scribe.run)

    async def _read_location(self, location: str) -> LeadConnector:
        client = self._find_client(location).with_options(priority="bulk")
        rules = Rules(datetime.now(UTC), self._options.allow_past, client.version, location or client.location_id)

        async def keep(sights: list[EventReading]) -> None:
            self.changed += await self._scribe.run(partial(self._keep, sights, rules))
            self._read += len(sights)
            self._note(self._read)

        surveyor = CalendarReader(client, location, TO_PREPARE, self._scribe.run, keep, self._clock)
        await surveyor.read_all(find_last_place)
        self._log.note(location, len(surveyor.calendars))
        return client

    def _keep(self, sights: list[EventReading], rules: Rules, journal: Journal) -> list[int]:
        rows = [(sight, _read_row(sight.number, journal)) for sight in sights]
        with journal.commit():
            _keep_first([one for one in rows if one[1].state == "loaded"], rules, journal)
            return _keep_again(
                [one for one in rows if one[1].state == "ready"], rules, self._find_whether_sent, journal
            )

    def _find_whether_sent(self, journal: Journal) -> bool:
        """Looked up once, and only if it matters: nothing is sent while all is prepared."""
        if self._has_sent is None:
            self._has_sent = has_sent(journal)
        return self._has_sent


def _list_locations(journal: Journal) -> list[str]:
    """Locations with rows that are to be read, or whose order is not settled."""
    return [str(location) for (location,) in journal.read(_LOCATIONS)]


def forget_readings(journal: Journal) -> None:
    """Have all rows read again that are ready: whoever read them, it was before this moment."""
    journal.write(_FORGET)


def has_sent(journal: Journal) -> bool:
    """Whether the job has sent anything yet, or was about to."""
    return journal.read_one(_HAS_SENT) is not None


def _forget_next(location: str, after: Position, most: int, journal: Journal) -> Position:
    positions = cast("list[Position]", list(journal.read(_NEXT, (location, *after, most))))
    with journal.commit():
        journal.write_all(_FORGET_ONE, [(number,) for _, number in positions])
    return positions[-1] if positions else after


def _is_settled(location: str, journal: Journal) -> bool:
    return journal.read_one("SELECT 1 FROM settled WHERE location = ?", (location,)) is not None


def find_last_place(row: Unread) -> tuple[str, datetime] | None:
    """Where a row's appointment was: as it was first read, or as the plan says that it was."""
    before = decode_found(row.found) if row.found is not None else read_wanted(row.wanted).before
    if before is None or before.calendar_id is None or before.start_time is None:
        return None
    return before.calendar_id, before.start_time


def _keep_first(sights: list[tuple[EventReading, _Row]], rules: Rules, journal: Journal) -> None:
    """Write what each row does, from its appointment as it was first read."""
    found = [(sight, row, _judge(sight, row, rules)) for sight, row in sights]
    refused = [(row, finding) for _, row, finding in found if finding.state == "refused"]
    journal_rows.write_findings(
        journal, [(sight.number, finding, sight.found, sight.read_at) for sight, _, finding in found]
    )
    journal_rows.write_faults(journal, [_build_fault(row, finding) for row, finding in refused])


def _keep_again(
    sights: list[tuple[EventReading, _Row]], rules: Rules, has_sent: HasSent, journal: Journal
) -> list[int]:
    """Leave alone what somebody has changed since it was first read; returns those that do not go any more."""
    left: list[int] = []
    for sight, row in sights:
        finding = _judge_again(sight, row, rules, journal)
        if finding is None:
            journal.write(_KEEP, (sight.read_at, sight.number))
            continue
        if finding.state == "refused" and has_sent(journal):
            finding = structs.replace(finding, state="skipped")
        elif finding.state == "refused":
            journal_rows.write_faults(journal, [_build_fault(row, finding)])
        journal.write(_LEAVE, (finding.state, finding.reason, sight.read_at, sight.number))
        journal.write(_LEAVE_PARKING, (sight.number,))
        left.append(sight.number)
    return left


def _build_fault(row: _Row, finding: CheckResult) -> RowFault:
    return RowFault(row.line, finding.column, finding.reason, finding.hint)


def _judge(sight: EventReading, row: _Row, rules: Rules) -> CheckResult:
    if sight.found is None:
        return CheckResult("refused", column="event_id", reason=sight.reason, hint="remove the row, or hint the id")
    return check_row(sight.event_id, read_wanted(row.wanted), sight.found, rules)


def _judge_again(sight: EventReading, row: _Row, rules: Rules, journal: Journal) -> CheckResult | None:
    """Why a row that was ready does not go any more; `None` if it still does."""
    if sight.found is None:
        reason = f"changed by somebody else: {sight.reason}"
        return CheckResult("refused", column="event_id", reason=reason, hint=PLAN_AGAIN)
    if compare_update(check_update(decode_updates(row.updates)[-1], rules.version), sight.found) is True:
        return CheckResult("in_place")
    before = decode_found(row.found)
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


def _read_row(number: int, journal: Journal) -> _Row:
    record = journal.read_one(_ROW, (number,))
    line, wanted, state, found, updates = record or (0, b"", "", None, None)
    content = wanted if isinstance(wanted, bytes) else b""
    return _Row(int(str(line)), content, str(state), found, updates)
