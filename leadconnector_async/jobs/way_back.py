"""How the changes of a job are undone, field by field.

A field that is as the job left it goes back to what it was before. One that somebody has edited since stays, and is
listed; so is one whose old value the API would not accept, such as a title with a line break: the rest goes back
without it. The times go back by as much as the job moved them, unless the start was edited: an appointment that was
made longer since goes back to its time, and stays longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET, Struct

from .._api.fields import PLANNED, SHOWN, TEXTS, TIMES
from .._api.readback import FieldChange, compare_field, list_changes
from .._api.validate import check_update
from .._validation.text import show
from ..exceptions import InvalidRequestError
from ..models import Appointment, AppointmentUpdate
from .journal.protocol import Journal
from .journal.reviewing import ChangedRow, SentRow, list_changed
from .plan.rows import PlanRow, Precondition
from .prepare.check import takes_time
from .states import RowOutcome

_VERSION: Final = "v3"
"""Of the API: it accepts all that was sent in any."""
_REST: Final = "the other changes are undone"


class WayBack(Struct, frozen=True):
    """What of one row is undone."""

    values: dict[str, object]
    """The fields that go back, each with its value; empty if none does."""
    edits: tuple[FieldChange, ...] = ()
    """The fields that were edited since the job."""
    notes: tuple[str, ...] = ()
    """Why others of the fields that the job has changed do not go back."""

    def explain(self) -> str:
        """Why some of it is not undone; empty if all of it is."""
        reasons = ", ".join([*map(str, self.edits), *self.notes])
        return f"{reasons}; {_REST}" if reasons and self.values else reasons


def list_rows_back(version: str, journal: Journal) -> Iterator[PlanRow]:
    """The rows that undo a job. `version`: that of the API with which they will be sent."""
    for row in list_changed(("as_planned", "differs", "unclear"), journal):
        seen = row.seen
        if seen is None or not (values := find_way_back(row.sent, row.fields, seen, version).values):
            continue
        if row.only_parks:
            values["to_notify"] = False  # nobody was told that it was moved
        update = AppointmentUpdate(**values)  # type: ignore[arg-type] # as they were read
        yield PlanRow(row.line, row.id_now, update, row.location or None, before=_describe(seen))


def list_kept(version: str, journal: Journal) -> list[RowOutcome]:
    """The rows that are not undone, or not with all of their fields; each with its reason."""
    rows = list_changed(("as_planned", "differs", "unclear", "gone"), journal)
    found = ((row, _explain(row, version)) for row in rows)
    return [row.keep(reason) for row, reason in found if reason]


def find_way_back(row: SentRow, fields: list[str], seen: Appointment, version: str) -> WayBack:
    """Decide which of the `fields` that a row has changed go back, from the appointment as it is `seen` now."""
    if _shows_nothing(seen):
        return WayBack({})
    sent, before = check_update(row.planned, _VERSION), row.before
    edits = [one for one in list_changes(row.after, seen) if one.name not in fields]
    values: dict[str, object] = {}
    notes: list[str] = []
    for name in fields:
        old, now = getattr(before, name), getattr(seen, name)
        is_ours = compare_field(name, sent, seen)
        if is_ours:
            values[name] = old if old is not None else ""  # a text that was not there comes back empty
        elif is_ours is None:
            notes.append(f"the event does not show {name}")
        elif now != old and (now or old):
            edits.append(FieldChange(name, _find_left(name, row), now))
    notes += _drop_unsendable(values, version)
    if moved := values.keys() & set(TIMES):
        times = _decide_times({edit.name for edit in edits}, row, seen)
        values = {name: value for name, value in values.items() if name not in TIMES} | times
        notes += [f"{name} stays with the edited start" for name in sorted(moved) if not times]
        status = row.before.appointment_status if "appointment_status" in values else seen.appointment_status
        if times and not takes_time(status):
            values["ignore_free_slot_validation"] = True  # it needs no slot, and the next may still be there
    return WayBack(values, tuple(edits), tuple(notes))


def _drop_unsendable(values: dict[str, object], version: str) -> list[str]:
    """Drop what would have the whole row refused, as others are not held to what can be sent; say why."""
    notes: list[str] = []
    for name in sorted(values.keys() - set(TIMES)):
        try:
            check_update(AppointmentUpdate(**{name: values[name]}), version)  # type: ignore[arg-type] # as it was read
        except InvalidRequestError as error:
            notes.append(f"{name} was {show(values.pop(name))}, which cannot be sent: {error.reason}")
    return notes


def _decide_times(edited: set[str], row: SentRow, seen: Appointment) -> dict[str, object]:
    """Both times go back, or neither: a start alone would keep the length that the job has given.

    They are in UTC: the server shows them in the timezone of whoever is assigned, which need not be the calendar's.
    """
    start, end = row.before.start_time, row.before.end_time
    if "start_time" in edited or start is None or seen.start_time is None:
        return {}
    if "end_time" in edited:
        end = _move_end(start, row, seen)
    times = zip(TIMES, (start, end), strict=True)
    return {name: one.astimezone(UTC).isoformat() for name, one in times if one is not None}


def _move_end(start: datetime, row: SentRow, seen: Appointment) -> datetime | None:
    """The end that somebody has edited, moved back by as much as the job has moved it."""
    old, left = row.before.end_time, row.planned.end_time
    if old is None or seen.end_time is None or seen.start_time is None or not isinstance(left, datetime):
        return None
    end = seen.end_time - (left - old)
    return end if end > start else start + (seen.end_time - seen.start_time)


def _find_left(name: str, row: SentRow) -> object:
    value = getattr(row.planned, name)
    return None if value is UNSET else value


def _explain(row: ChangedRow, version: str) -> str:
    seen = row.seen
    if seen is None or _shows_nothing(seen):
        return row.reason
    return find_way_back(row.sent, row.fields, seen, version).explain()


def _shows_nothing(seen: Appointment) -> bool:
    return seen.deleted is True or all(getattr(seen, name) is None for name in SHOWN)


def _describe(seen: Appointment) -> Precondition:
    values = {name: getattr(seen, name) or ("" if name in TEXTS else None) for name in PLANNED}
    return Precondition(**values)  # type: ignore[arg-type] # as they were read
