"""From cells to changes: every row is held against its appointment before anything is sent.

Rule: what a row does is decided once, from the appointment as it was first read, and kept. When a job goes on
later, rows are read again, and those that somebody has changed meanwhile are left alone.

Knows the survey, the conflicts and the journal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec import Struct

from .._checks import check_update
from .._compare import compare_update
from ..client import LeadConnector
from ..exceptions import LeadConnectorError, RowFault
from ..models import Appointment
from . import ledger
from .conflicts import settle_conflicts
from .intake import read_wanted
from .journal import Journal
from .ledger import decode_found, decode_updates
from .preflight import Finding, Rules, check_row, list_changes
from .scribe import Scribe
from .states import FRESH_SECONDS, JobOptions, RowOutcome, RowState, Stopped
from .stops import describe_stop
from .survey import TO_PREPARE, Sight, Surveyor, Unread

_AT_ONCE: Final = 50
"""Locations that are read at once."""
_ROW: Final = "SELECT line, wanted, state, found, updates FROM rows WHERE number = ?"
_FORGET: Final = "UPDATE rows SET read_at = NULL WHERE state = 'ready' AND parks IS NULL AND read_at < ?"
_FORGET_NEXT: Final = """
    UPDATE rows SET read_at = NULL WHERE number IN (
        SELECT number FROM rows INDEXED BY rows_open
        WHERE location = ? AND state IN ('ready', 'sent') AND (rank, number) > (?, ?)
        ORDER BY rank, number LIMIT ?
    ) AND state = 'ready' AND parks IS NULL
"""
_AHEAD: Final = 2000
"""Rows that are read again at once."""
_LOCATIONS: Final = """
    SELECT location FROM rows WHERE read_at IS NULL AND state IN ('loaded', 'ready')
    UNION SELECT location FROM rows WHERE location NOT IN (SELECT location FROM settled)
"""
_KEEP: Final = "UPDATE rows SET read_at = ? WHERE number = ?"
_LEAVE: Final = "UPDATE rows SET state = ?, reason = ?, read_at = ? WHERE number = ?"


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
        scribe: Scribe,
        options: JobOptions,
        find_client: Callable[[str], LeadConnector],
        note: Callable[[int], None],
    ) -> None:
        self._scribe = scribe
        self._options = options
        self._find_client = find_client
        self._note = note
        self._read = 0

    async def run(self) -> tuple[Stopped, ...]:
        """Prepare all locations. What cannot be carried out is `refused` in the journal, and among its faults.

        Returns why locations could not be read; their rows are left for another time.
        """
        locations = await self._scribe.run(_list_locations)
        places = asyncio.Semaphore(_AT_ONCE)

        async def prepare(location: str) -> Stopped | None:
            async with places:
                try:
                    await self._prepare(location)
                except LeadConnectorError as error:
                    stopped = describe_stop(error, location)
                    if stopped is None:
                        raise
                    return stopped
            return None

        tasks = [asyncio.ensure_future(prepare(location)) for location in locations]
        try:
            return tuple(stopped for stopped in await asyncio.gather(*tasks) if stopped is not None)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def refresh(self, location: str, after: tuple[int, int]) -> list[RowOutcome]:
        """Read the next rows of a location again; returns those that are left alone now."""
        await self._scribe.run(partial(_forget_next, location, after))
        numbers: list[int] = []
        await self._read_location(location, numbers)
        return await self._scribe.run(partial(ledger.list_left_alone, numbers))

    async def _prepare(self, location: str) -> None:
        client = await self._read_location(location, [])
        if not await self._scribe.run(partial(_is_settled, location)):
            await settle_conflicts(client, location, self._options.on_conflict, self._scribe.run)

    async def _read_location(self, location: str, numbers: list[int]) -> LeadConnector:
        client = self._find_client(location).with_options(priority="bulk")
        rules = Rules(datetime.now(UTC), self._options.allow_past, client.version, location or client.location_id)

        async def keep(sights: list[Sight]) -> None:
            await self._scribe.run(partial(_keep_sights, sights, rules))
            numbers.extend(sight.number for sight in sights)
            self._read += len(sights)
            self._note(self._read)

        await Surveyor(client, location, TO_PREPARE, self._scribe.run, keep).read_all(hint)
        return client


def _list_locations(journal: Journal) -> list[str]:
    """Locations with rows that are to be read, or whose order is not settled."""
    return [str(location) for (location,) in journal.read(_LOCATIONS)]


def forget_old_readings(journal: Journal) -> None:
    """Have rows read again whose reading is no longer fresh."""
    journal.write(_FORGET, (time.time() - FRESH_SECONDS,))


def _forget_next(location: str, after: tuple[int, int], journal: Journal) -> None:
    journal.write(_FORGET_NEXT, (location, *after, _AHEAD))


def _is_settled(location: str, journal: Journal) -> bool:
    return journal.read_one("SELECT 1 FROM settled WHERE location = ?", (location,)) is not None


def hint(row: Unread) -> tuple[str, datetime] | None:
    """Where a row's appointment was when the plan was made: calendar and start, if the plan says so."""
    before = read_wanted(row.wanted).before
    if before is None or before.calendar_id is None or before.start_time is None:
        return None
    return before.calendar_id, before.start_time


def _keep_sights(sights: list[Sight], rules: Rules, journal: Journal) -> None:
    now = time.time()
    findings: list[tuple[int, Finding, Appointment | None]] = []
    faults: list[RowFault] = []
    with journal.commit():
        for sight in sights:
            row = _read_row(sight.number, journal)
            if row.state != "loaded":
                _look_again(sight, row, rules, now, journal)
                continue
            finding = _judge(sight, row, rules)
            findings.append((sight.number, finding, sight.found))
            if finding.state == "refused":
                faults.append(RowFault(row.line, finding.column, finding.reason, finding.mend))
        ledger.write_findings(journal, findings, now)
        ledger.write_faults(journal, faults)


def _judge(sight: Sight, row: _Row, rules: Rules) -> Finding:
    if sight.found is None:
        return Finding("refused", column="event_id", reason=sight.reason, mend="remove the row, or mend the id")
    return check_row(sight.event_id, read_wanted(row.wanted), sight.found, rules)


def _look_again(sight: Sight, row: _Row, rules: Rules, now: float, journal: Journal) -> None:
    """A row that was ready is left alone if somebody has changed its appointment since."""
    if sight.found is None:
        _leave(sight.number, "failed", sight.reason, now, journal)
    elif compare_update(check_update(decode_updates(row.updates)[-1], rules.version), sight.found) is True:
        _leave(sight.number, "in_place", "", now, journal)
    elif (changes := list_changes(decode_found(row.found), sight.found)) and not _is_parked(sight, journal):
        reason = f"somebody has changed it since it was read: {', '.join(changes)}"
        _leave(sight.number, "failed", reason, now, journal)
    else:
        journal.write(_KEEP, (now, sight.number))


def _leave(number: int, state: RowState, reason: str, now: float, journal: Journal) -> None:
    """A row that does not go any more needs nobody out of its way."""
    journal.write(_LEAVE, (state, reason, now, number))
    journal.write("UPDATE rows SET state = 'skipped' WHERE parks = ? AND state = 'ready'", (number,))


def _is_parked(sight: Sight, journal: Journal) -> bool:
    """It stands where the job itself has put it."""
    record = journal.read_one("SELECT updates FROM rows WHERE parks = ? AND state = 'applied'", (sight.number,))
    parked = decode_updates(record[0]) if record is not None else ()
    return (
        bool(parked) and sight.found is not None and compare_update(check_update(parked[-1]), sight.found) is True
    )


def _read_row(number: int, journal: Journal) -> _Row:
    record = journal.read_one(_ROW, (number,))
    line, wanted, state, found, updates = record or (0, b"", "", None, None)
    content = wanted if isinstance(wanted, bytes) else b""
    return _Row(int(str(line)), content, str(state), found, updates)
