"""Rows when they are compared with the calendar after a run, to verify a job or to undo it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from ..._api.fields import TIMES, WATCHED
from ...models import Appointment, AppointmentUpdate
from ..states import RowOutcome
from .columns import clean, decode_differences, decode_found, decode_updates, encode_found
from .facts import Count, Text
from .preparing import SELECTED, Selection
from .protocol import Journal
from .rows import recount

Verdict: TypeAlias = Literal["as_planned", "as_before", "unclear", "differs", "gone"]
"""What the calendar shows of a row. `as_before`: as it was before the job; `unclear`: not what was changed."""

_FORGET_VERDICTS: Final = "DELETE FROM verdicts WHERE job = ? AND location = ?"
_FORGET_READINGS: Final = "UPDATE rows SET read_at = NULL WHERE job = ? AND location = ? AND {selected}"
_ROW: Final = "SELECT found, updates, shown FROM rows WHERE job = ? AND location = ? AND number = ?"
_VERDICT: Final = """
    INSERT INTO verdicts (job, location, number, verdict, reason, seen) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (job, location, number) DO UPDATE SET
        verdict = excluded.verdict, reason = excluded.reason, seen = excluded.seen
"""
_READ: Final = "UPDATE rows SET read_at = ? WHERE job = ? AND location = ? AND number = ?"
_COUNT: Final = "SELECT COUNT(*) FROM verdicts WHERE job = ?"
_OUTCOMES: Final = """
    SELECT line, event_id, location, verdicts.reason FROM rows JOIN verdicts USING (job, location, number)
    WHERE job = ? AND verdict IN ({marks}) ORDER BY number
"""
_CHANGED: Final = """
    SELECT line, event_id, COALESCE(new_id, event_id), location, found, updates, shown, differences, seen, verdict,
        verdicts.reason, parks
    FROM rows JOIN verdicts USING (job, location, number)
    WHERE job = ? AND verdict IN ({marks}) ORDER BY number
"""
_APPLIED_AFTER_ALL: Final = """
    UPDATE rows SET state = 'applied', reason = ''
    WHERE job = ? AND location = ? AND state = 'unknown'
        AND number IN (SELECT number FROM verdicts WHERE job = ? AND location = ? AND verdict = 'as_planned')
"""
_SEND_AGAIN: Final = """
    UPDATE rows SET state = 'pending', reason = '', repeated = 1
    WHERE job = ? AND location = ? AND state = 'unknown'
        AND number IN (SELECT number FROM verdicts WHERE job = ? AND location = ? AND verdict = 'as_before')
"""
_SEND_UNBLOCKED: Final = """
    UPDATE rows SET state = 'pending', reason = ''
    WHERE job = ? AND location = ? AND state = 'skipped' AND number IN (
        SELECT parks FROM rows JOIN verdicts USING (job, location, number)
        WHERE job = ? AND location = ? AND parks IS NOT NULL AND state IN ('applied', 'pending')
    )
"""
_UNKNOWN: Final = """
    SELECT location FROM locations WHERE job = ? AND unknown > 0
    UNION SELECT location FROM rows WHERE job = ? AND parks IS NOT NULL AND state = 'unknown'
"""
_HAS_UNKNOWN: Final = """
    SELECT location FROM locations WHERE job = ? AND location = ? AND unknown > 0
    UNION SELECT location FROM rows WHERE job = ? AND location = ? AND parks IS NOT NULL AND state = 'unknown'
"""
"""Rows that only move an appointment out of the way are not counted in `locations`."""
_COUNTS: Final = "SELECT applied, unknown, not_changed FROM locations WHERE job = ? AND location = ?"


class Resolved(Struct, frozen=True):
    """What became of rows whose outcome was unknown."""

    applied: int = 0
    again: int = 0
    """To be sent again."""


class SentRow(Struct, frozen=True, array_like=True):
    """A row that was sent, with the appointment as it was first read and as the last response showed it."""

    found: bytes | None
    updates: bytes | None
    shown: bytes | None

    @property
    def before(self) -> Appointment:
        """The appointment as it was first read."""
        return decode_found(self.found)

    @property
    def after(self) -> Appointment:
        """The appointment as the last response showed it; what that left out, as it was first read."""
        shown, before = decode_found(self.shown), self.before
        return structs.replace(
            before, **{name: now for name in WATCHED if (now := getattr(shown, name)) is not None}
        )

    @property
    def all_planned(self) -> tuple[AppointmentUpdate, ...]:
        """The updates of the row, in order."""
        return decode_updates(self.updates)

    @property
    def planned(self) -> AppointmentUpdate:
        """The last of them."""
        return self.all_planned[-1]


class ChangedRow(Struct, frozen=True, array_like=True):
    """A row that was sent, with all that is known of its appointment."""

    line: int
    event_id: str
    id_now: str
    location: str
    found: bytes | None
    updates: bytes | None
    shown: bytes | None
    differences: bytes | None
    seen_now: bytes | None
    verdict: Verdict
    reason: str
    parks: int | None

    @property
    def sent(self) -> SentRow:
        """What was sent for it, and what came of that."""
        return SentRow(self.found, self.updates, self.shown)

    @property
    def seen(self) -> Appointment | None:
        """The appointment as the calendar shows it now; `None` if it is gone."""
        return None if self.seen_now is None else decode_found(self.seen_now)

    @property
    def only_parks(self) -> bool:
        """Whether it has only moved its appointment out of the way."""
        return self.parks is not None

    @property
    def fields(self) -> list[str]:
        """The fields that the job has changed."""
        return list(TIMES) if self.only_parks else [name for name, *_ in decode_differences(self.differences)]

    def keep(self, reason: str) -> RowOutcome:
        """Its outcome, if some of it is not undone."""
        location = self.location or None
        return RowOutcome(
            line=self.line, event_id=self.event_id, location_id=location, state="skipped", reason=reason
        )


class _OutcomeColumns(Struct, frozen=True, array_like=True):
    line: int
    event_id: str
    location: str
    reason: str


class _Counts(Struct, frozen=True, array_like=True):
    applied: int
    unknown: int
    not_changed: int


def begin_review(selection: Selection, journal: Journal) -> bool:
    """Discard the verdicts of the location, and have the selected rows read again, if there are any."""
    place = _name_location(journal)
    with journal.commit():
        journal.write(_FORGET_VERDICTS, place)
        return journal.write(_FORGET_READINGS.format(selected=SELECTED[selection]), place) > 0


def read_sent(number: int, journal: Journal) -> SentRow:
    """A row of the location that was sent."""
    return journal.read_one(SentRow, _ROW, (journal.hold.job, journal.hold.location, number)) or SentRow(
        None, None, None
    )


def write_verdict(
    number: int, verdict: Verdict, reason: str, seen: Appointment | None, read_at: float, journal: Journal
) -> None:
    """Write what the calendar shows of a row of the location. Inside a commit."""
    row = (journal.hold.job, journal.hold.location, number)
    journal.write(_VERDICT, (*row, verdict, clean(reason), None if seen is None else encode_found(seen)))
    journal.write(_READ, (read_at, *row))


def count_reviewed(journal: Journal) -> int:
    """How many rows have a verdict."""
    found = journal.read_one(Count, _COUNT, (journal.hold.job,))
    return 0 if found is None else found.number


def list_reviewed(verdicts: Iterable[Verdict], journal: Journal) -> list[RowOutcome]:
    """The rows with some verdicts, with their reasons, by line."""
    wanted = tuple(verdicts)
    query = _OUTCOMES.format(marks=",".join("?" * len(wanted)))
    return [
        RowOutcome(
            line=row.line,
            event_id=row.event_id,
            location_id=row.location or None,
            state="skipped",
            reason=row.reason,
        )
        for row in journal.read(_OutcomeColumns, query, (journal.hold.job, *wanted))
    ]


def list_changed(verdicts: Iterable[Verdict], journal: Journal) -> Iterator[ChangedRow]:
    """The rows with some verdicts, with what they have changed, by line."""
    wanted = tuple(verdicts)
    query = _CHANGED.format(marks=",".join("?" * len(wanted)))
    return journal.stream(ChangedRow, query, (journal.hold.job, *wanted))


def list_unknown(journal: Journal) -> list[str]:
    """The locations with rows whose outcome is unknown."""
    return sorted(one.text for one in journal.read(Text, _UNKNOWN, (journal.hold.job, journal.hold.job)))


def has_unknown(journal: Journal) -> bool:
    """Whether the outcome of any row of the location is unknown."""
    return journal.read_one(Text, _HAS_UNKNOWN, _name_location(journal) * 2) is not None


def resolve_unknown(journal: Journal) -> Resolved:
    """Change the state of unknown rows of the location by their verdicts."""
    twice = _name_location(journal) * 2
    before = _read_counts(journal)
    with journal.commit():
        journal.write(_APPLIED_AFTER_ALL, twice)
        journal.write(_SEND_AGAIN, twice)
        journal.write(_SEND_UNBLOCKED, twice)
        recount(journal)
    after = _read_counts(journal)
    applied = after.applied - before.applied
    return Resolved(applied, before.unknown - after.unknown + before.not_changed - after.not_changed - applied)


def _read_counts(journal: Journal) -> _Counts:
    return journal.read_one(_Counts, _COUNTS, _name_location(journal)) or _Counts(0, 0, 0)


def _name_location(journal: Journal) -> tuple[int, str]:
    return journal.hold.job, journal.hold.location
