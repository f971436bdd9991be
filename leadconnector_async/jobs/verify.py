"""Reading the calendar after a job: whether it shows what the job changed, and how that can be undone.

Reads only. What has been edited since is somebody else's work: `way_back` leaves it alone, field by field.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from msgspec import UNSET, Struct

from .._api.precondition import ReadingClock
from .._api.readback import compare_update, list_changes
from .._api.validate import check_update
from ..client import LeadConnector
from ..models import Appointment
from .journal import reviewing
from .journal.preparing import Selection
from .journal.protocol import Journal
from .journal.reviewing import SentRow, Verdict
from .journal.rows import find_parking
from .journal.writer import JournalWriter
from .plan.rows import PlanRow
from .prepare.check import list_looks
from .prepare.prepare import find_known_time
from .prepare.reader import CalendarReader, EventReading
from .states import RowOutcome
from .way_back import list_kept, list_rows_back


class Verification(Struct, frozen=True, kw_only=True):
    """Whether the calendar shows what the job changed."""

    checked: int
    """Rows that were applied, or may have been."""
    differing: tuple[RowOutcome, ...]
    """Rows whose appointment shows something else, each with its reason."""
    unclear: tuple[RowOutcome, ...] = ()
    """Rows whose appointment does not show the fields that were changed."""


class Undo(Struct, frozen=True, kw_only=True):
    """How to undo a job."""

    rows: Iterable[PlanRow]
    """A plan that restores each field that is as the job left it; can be iterated once, while the job is open."""
    kept: tuple[RowOutcome, ...]
    """Appointments that were edited since, or may have been, or whose old value cannot be sent: the reason names
    the fields that stay as they are, and whether the others go back."""


async def read_location(
    journal: JournalWriter,
    location: str,
    client: LeadConnector,
    clock: ReadingClock,
    selection: Selection,
) -> None:
    """Read the selected rows of a location again, and write what the calendar shows of each."""
    client = client.with_options(priority="bulk")
    save = partial(_save, journal, client.version, selection)
    reader = CalendarReader(client, location, selection, journal.run, save, clock)
    await reader.read_all(find_known_time)


async def summarize_verdicts(journal: JournalWriter) -> Verification:
    """What the readings have shown."""
    checked = await journal.run(reviewing.count_reviewed)
    differing = await journal.run(partial(reviewing.list_reviewed, ("as_before", "differs", "gone")))
    unclear = await journal.run(partial(reviewing.list_reviewed, ("unclear",)))
    return Verification(checked=checked, differing=tuple(differing), unclear=tuple(unclear))


async def plan_way_back(journal: JournalWriter, version: str) -> Undo:
    """How to undo every field that is still as the job made it, as the readings have shown."""
    kept = await journal.run(partial(list_kept, version))
    return Undo(rows=journal.lend(partial(list_rows_back, version)), kept=tuple(kept))


async def _save(journal: JournalWriter, version: str, selection: Selection, readings: list[EventReading]) -> None:
    await journal.run(partial(_save_verdicts, version, selection, readings))


def _save_verdicts(version: str, selection: Selection, readings: list[EventReading], journal: Journal) -> None:
    with journal.commit():
        for reading in readings:
            row = reviewing.read_sent(reading.number, journal)
            looks = [row.before]
            if selection == "unknown":  # it can be sent again also where it is half-way, or out of the way
                looks = list_looks(row.before, row.all_planned, find_parking(reading.number, journal))
            verdict, reason = _compare(version, reading, row, looks)
            reviewing.write_verdict(reading.number, verdict, reason, reading.found, reading.read_at, journal)


def _compare(version: str, reading: EventReading, row: SentRow, looks: list[Appointment]) -> tuple[Verdict, str]:
    """`looks`: how it looks if nothing of it was applied, that is, before the job or between its steps."""
    if reading.found is None:
        return "gone", reading.reason
    planned = row.planned
    sent = {name for name in planned.__struct_fields__ if getattr(planned, name) is not UNSET}
    differences = list_changes(row.after, reading.found)
    others = [one for one in differences if one.name not in sent]
    shows = compare_update(check_update(planned, version), reading.found)
    if shows is True and not others:
        return "as_planned", ""
    found = reading.found
    changes = min((list_changes(look, found) for look in looks), key=len)
    if shows is None and not (changes or others):
        return "unclear", "the event does not show what was changed"
    if not changes:
        return "as_before", "it is as it was before"
    return "differs", ", ".join(map(str, others or changes))
