"""Looking at the calendar after a job: whether it shows what the job has done, and what of it can be undone.

An appointment that shows anything else than what the job left is somebody's work: it is listed, and never
touched.

Must not change a calendar.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial

from msgspec import UNSET, Struct

from .._api.fields import PLANNED, TEXTS, TIMES
from .._api.precondition import ReadingClock
from .._api.readback import compare_update, list_changes
from .._api.validate import check_update
from ..client import LeadConnector
from ..exceptions import LeadConnectorError
from ..models import Appointment, AppointmentUpdate
from .journal import reviewing
from .journal.preparing import Selection
from .journal.protocol import Journal
from .journal.reviewing import SentRow, Verdict
from .journal.writer import JournalWriter
from .plan.rows import PlanRow, Precondition
from .prepare.prepare import find_last_place
from .prepare.reader import CalendarReader, EventReading
from .states import RowOutcome, describe_stop


class Verification(Struct, frozen=True, kw_only=True):
    """Whether the calendar shows what the job has done."""

    checked: int
    """Rows that were applied, or may have been."""
    differing: tuple[RowOutcome, ...]
    """Those that the calendar shows otherwise, each with its reason."""
    unclear: tuple[RowOutcome, ...] = ()
    """Those of which it shows nothing that was changed."""


class Undo(Struct, frozen=True, kw_only=True):
    """The way back."""

    rows: Iterable[PlanRow]
    """A plan back to the state before; can be gone through once, while the job is open."""
    kept: tuple[RowOutcome, ...]
    """Appointments that somebody has changed since, or that cannot be told; they are left alone."""


class Verifier:
    """Reads again what a job has touched."""

    def __init__(
        self, scribe: JournalWriter, find_client: Callable[[str], LeadConnector], clock: ReadingClock
    ) -> None:
        self._scribe = scribe
        self._find_client = find_client
        self._clock = clock

    async def verify(self) -> Verification:
        """Compare every row that was applied, or may have been, with the calendar."""
        await self._read_all("sent")
        checked = await self._scribe.run(reviewing.count_reviewed)
        differing = await self._scribe.run(partial(reviewing.list_reviewed, ("as_before", "differs", "gone")))
        unclear = await self._scribe.run(partial(reviewing.list_reviewed, ("unclear",)))
        return Verification(checked=checked, differing=tuple(differing), unclear=tuple(unclear))

    async def plan_undo(self) -> Undo:
        """Plan the way back of all that still stands as the job has left it."""
        await self._read_all("sent")
        kept = await self._scribe.run(partial(reviewing.list_reviewed, ("differs", "gone", "unclear")))
        return Undo(rows=self._scribe.lend(list_rows_back), kept=tuple(kept))

    async def settle_unknown(self) -> bool:
        """Look at rows whose outcome is unknown, now that time has passed; tells whether some are to be sent."""
        if not await self._scribe.run(reviewing.has_unknown):
            return False
        await self._read_all("unknown", leave_unread=True)
        return await self._scribe.run(reviewing.resolve_unknown)

    async def _read_all(self, selection: Selection, *, leave_unread: bool = False) -> None:
        for location in await self._scribe.run(partial(reviewing.begin_review, selection)):
            await self._read_location(location, selection, leave_unread=leave_unread)

    async def _read_location(self, location: str, selection: Selection, *, leave_unread: bool) -> None:
        client = self._find_client(location).with_options(priority="bulk")
        keep: Callable[[list[EventReading]], Awaitable[None]] = partial(self._keep, client.version)
        reader = CalendarReader(client, location, selection, self._scribe.run, keep, self._clock)
        try:
            await reader.read_all(find_last_place)
        except LeadConnectorError as error:
            if not leave_unread or describe_stop(error, location) is None:
                raise

    async def _keep(self, version: str, sights: list[EventReading]) -> None:
        await self._scribe.run(partial(_keep_verdicts, version, sights))


def list_rows_back(journal: Journal) -> Iterator[PlanRow]:
    """The rows of the way back."""
    for row in reviewing.list_ways_back(journal):
        update = _build_way_back(row.before, row.fields)
        yield PlanRow(row.line, row.event_id, update, row.location or None, before=_describe(row.seen))


def _keep_verdicts(version: str, readings: list[EventReading], journal: Journal) -> None:
    with journal.commit():
        for reading in readings:
            row = reviewing.read_sent(reading.number, journal)
            verdict, reason = _compare(version, reading, row)
            reviewing.write_verdict(reading.number, verdict, reason, reading.found, reading.read_at, journal)


def _compare(version: str, reading: EventReading, row: SentRow) -> tuple[Verdict, str]:
    if reading.found is None:
        return "gone", reading.reason
    planned = row.planned
    sent = {name for name in planned.__struct_fields__ if getattr(planned, name) is not UNSET}
    differences = list_changes(row.after, reading.found, whole=row.shown is None)
    others = [one for one in differences if one.name not in sent]
    shows = compare_update(check_update(planned, version), reading.found)
    if shows is True and not others:
        return "as_planned", ""
    changes = list_changes(row.before, reading.found)
    if shows is None and not (changes or others):
        return "unclear", "the event does not show what was changed"
    if not changes:
        return "as_before", "it is as it was before"
    return "differs", ", ".join(map(str, others or changes))


def _build_way_back(found: Appointment, fields: list[str]) -> AppointmentUpdate:
    """What was different before. A text that was not there comes back empty."""
    values: dict[str, object] = {}
    for name in fields:
        value = getattr(found, name)
        values[name] = value.isoformat() if name in TIMES else value if value is not None else ""
    return AppointmentUpdate(**values)  # type: ignore[arg-type] # as they were read


def _describe(seen: Appointment) -> Precondition:
    values = {name: getattr(seen, name) or ("" if name in TEXTS else None) for name in PLANNED}
    return Precondition(**values)  # type: ignore[arg-type] # as they were read
