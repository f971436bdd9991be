"""Looking at the calendar after a job: whether it shows what the job has done, and what of it can be undone.

An appointment that shows anything else than what the job left is somebody's work: it is listed, and never
touched.

Must not change a calendar.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from .._api.fields import PLANNED, TEXTS, TIMES
from .._api.precondition import ReadingClock
from .._api.readback import compare_update, list_changes
from .._api.validate import check_update
from ..client import LeadConnector
from ..exceptions import LeadConnectorError
from ..models import Appointment, AppointmentUpdate
from .journal import rows as journal_rows
from .journal.database import Journal, Record
from .journal.rows import decode_found, decode_texts, decode_updates
from .journal.writer import JournalWriter
from .plan.rows import PlanRow, Precondition
from .prepare.prepare import find_last_place
from .prepare.reader import CalendarReader, EventReading
from .states import RowOutcome, describe_stop

Verdict: TypeAlias = Literal["as_planned", "unchanged", "unclear", "differs", "gone"]
"""`unchanged`: it is still as it was before the job; `unclear`: what was changed cannot be seen."""

_TOUCHED: Final = "state IN ('applied', 'unknown', 'sent') AND parks IS NULL"
_UNKNOWN: Final = "state = 'unknown'"
_LOCATIONS: Final = "SELECT DISTINCT location FROM rows WHERE {states}"
_SETTLE: Final = """
    UPDATE rows SET state = 'applied', reason = ''
    WHERE state = 'unknown' AND number IN (SELECT number FROM undo WHERE verdict = 'as_planned');
    UPDATE rows SET state = 'ready', reason = '', repeated = 1
    WHERE state = 'unknown' AND number IN (SELECT number FROM undo WHERE verdict = 'unchanged');
    UPDATE rows SET state = 'ready', reason = '' WHERE state = 'skipped' AND number IN (
        SELECT parks FROM rows JOIN undo USING (number) WHERE parks IS NOT NULL AND state IN ('applied', 'ready')
    );
"""
_ROW: Final = "SELECT found, updates, shown FROM rows WHERE number = ?"
_KEEP: Final = "INSERT OR REPLACE INTO undo VALUES (?, ?, ?, ?)"
_BACK: Final = """
    SELECT line, COALESCE(new_id, event_id), location, found, differences, seen FROM rows JOIN undo USING (number)
    WHERE verdict = 'as_planned' ORDER BY number
"""


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
        await self._read_all(_TOUCHED)
        checked = await self._scribe.run(lambda journal: journal.read_one("SELECT COUNT(*) FROM undo"))
        differing = await self._scribe.run(partial(_list_outcomes, "verdict NOT IN ('as_planned', 'unclear')"))
        unclear = await self._scribe.run(partial(_list_outcomes, "verdict = 'unclear'"))
        return Verification(
            checked=int(str(checked[0])) if checked else 0, differing=tuple(differing), unclear=tuple(unclear)
        )

    async def plan_undo(self) -> Undo:
        """Plan the way back of all that still stands as the job has left it."""
        await self._read_all(_TOUCHED)
        kept = await self._scribe.run(partial(_list_outcomes, "verdict IN ('differs', 'gone', 'unclear')"))
        return Undo(rows=self._scribe.lend(list_rows_back), kept=tuple(kept))

    async def settle_unknown(self) -> bool:
        """Look at rows whose outcome is unknown, now that time has passed; tells whether some are to be sent."""
        if not await self._scribe.run(lambda journal: journal.count(_UNKNOWN)):
            return False
        await self._read_all(_UNKNOWN, leave_unread=True)
        await self._scribe.run(lambda journal: journal.script(f"BEGIN; {_SETTLE} COMMIT"))
        return await self._scribe.run(lambda journal: journal.count("state = 'ready'")) > 0

    async def _read_all(self, states: str, *, leave_unread: bool = False) -> None:
        await self._scribe.run(partial(_forget, states))
        query = _LOCATIONS.format(states=states)
        for (location,) in await self._scribe.run(lambda journal: list(journal.read(query))):
            await self._read_location(str(location), states, leave_unread=leave_unread)

    async def _read_location(self, location: str, states: str, *, leave_unread: bool) -> None:
        client = self._find_client(location).with_options(priority="bulk")
        keep: Callable[[list[EventReading]], Awaitable[None]] = partial(self._keep, client.version)
        try:
            await CalendarReader(client, location, states, self._scribe.run, keep, self._clock).read_all(
                find_last_place
            )
        except LeadConnectorError as error:
            if not leave_unread or describe_stop(error, location) is None:
                raise

    async def _keep(self, version: str, sights: list[EventReading]) -> None:
        await self._scribe.run(partial(_keep_verdicts, version, sights))


def list_rows_back(journal: Journal) -> Iterator[PlanRow]:
    """The rows of the way back."""
    for line, event_id, location, found, differences, seen in journal.read(_BACK):
        fields = [name for name, *_ in decode_texts(differences)]
        yield PlanRow(
            int(str(line)),
            str(event_id),
            _build_way_back(decode_found(found), fields),
            str(location) or None,
            before=_describe(decode_found(seen)),
        )


def _forget(states: str, journal: Journal) -> None:
    with journal.commit():
        journal.write("DELETE FROM undo")
        journal.write(f"UPDATE rows SET read_at = NULL WHERE {states}")  # noqa: S608 - ours


def _keep_verdicts(version: str, sights: list[EventReading], journal: Journal) -> None:
    with journal.commit():
        for sight in sights:
            verdict, reason = _judge(version, sight, journal.read_one(_ROW, (sight.number,)))
            seen = None if sight.found is None else journal_rows.encode_found(sight.found)
            journal.write(_KEEP, (sight.number, verdict, reason, seen))
            journal.write("UPDATE rows SET read_at = ? WHERE number = ?", (sight.read_at, sight.number))


def _judge(version: str, sight: EventReading, record: Record | None) -> tuple[Verdict, str]:
    if sight.found is None:
        return "gone", sight.reason
    found, updates, shown = record or (None, None, None)
    planned = decode_updates(updates)[-1]
    sent = {name for name in planned.__struct_fields__ if getattr(planned, name) is not UNSET}
    left = decode_found(shown if shown is not None else found)
    others = [one for one in list_changes(left, sight.found, whole=shown is None) if one.name not in sent]
    shows = compare_update(check_update(planned, version), sight.found)
    if shows is True and not others:
        return "as_planned", ""
    changes = list_changes(decode_found(found), sight.found)
    if shows is None and not (changes or others):
        return "unclear", "the event does not show what was changed"
    if not changes:
        return "unchanged", "it is as it was before"
    return "differs", ", ".join(map(str, others or changes))


def _list_outcomes(condition: str, journal: Journal) -> list[RowOutcome]:
    query = f"""
        SELECT line, event_id, location, verdict, undo.reason FROM rows JOIN undo USING (number)
        WHERE {condition} ORDER BY number
    """  # noqa: S608 - ours
    return [
        RowOutcome(
            line=int(str(line)),
            event_id=str(event_id),
            location_id=str(location) or None,
            state="skipped",
            reason=str(reason),
        )
        for line, event_id, location, _, reason in journal.read(query)
    ]


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
