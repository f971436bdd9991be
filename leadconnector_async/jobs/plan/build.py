"""Build a plan from the calendar: listed appointments become rows of a plan file.

An appointment that cannot be planned is reported, never left out silently. Every row contains the state before, so
that rows whose appointments have changed in the meantime are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Final

import msgspec
from msgspec import Struct

from ..._api.fields import BY_NAME, PLANNED, TIMES
from ...exceptions import ConfigurationError, RowFault, explain
from ...models import Appointment, AppointmentUpdate
from ...recurrence import parse_instance_id
from .files import PlanFormat, write_csv
from .free_slots import Offers, SlotPicker, Whose, find_whose
from .rows import read_row
from .selection import Selection
from .shift import Shift, apply_shift, find_zone, place

_NOT_TO_MOVE: Final = frozenset({"cancelled", "invalid"})
_FIELDS: Final = frozenset(AppointmentUpdate.__struct_fields__)
_NO_OFFERS: Final[Offers] = {}
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_encode: Final = msgspec.json.Encoder().encode


class PlanQuery(Struct, frozen=True, kw_only=True):
    """What to do with the listed appointments."""

    shift: Shift | None = None
    """How far each moves."""
    shift_to: date | None = None
    """The day to which `first_day` moves; the others keep their distance."""
    to_free_slot: bool = False
    """Each moves to the next free slot of its calendar and person."""
    first_day: date | None = None
    """`None`: the first day on which something is planned."""
    timezone: str | None = None
    """IANA name of the zone whose clock is kept."""
    changes: Mapping[str, str] = {}
    """Other fields to set, by their names in `AppointmentUpdate`."""
    statuses: frozenset[str] = frozenset()
    """Only appointments with one of these; empty: all."""
    include_cancelled: bool = False
    selection: Selection = Selection()
    """What else the appointments must be."""
    location_id: str | None = None
    """Written into each row, for plans of several locations."""

    def __post_init__(self) -> None:
        if (self.shift is not None) + (self.shift_to is not None) + self.to_free_slot > 1:
            raise ConfigurationError("set only one of shift, shift_to and to_free_slot")
        if not (self.moves or self.changes):
            raise ConfigurationError(
                "the plan would change nothing: give shift, shift_to, to_free_slot, or a field to set"
            )
        keeps_clock = self.shift_to is not None or (self.shift is not None and self.shift.days != 0)
        if keeps_clock and self.timezone is None:
            raise ConfigurationError("days keep the time of day, and so need a timezone, such as Europe/London")
        if self.selection.times is not None and self.timezone is None:
            raise ConfigurationError("times of day need a timezone, such as Europe/London")
        if self.timezone is not None:
            _check_zone(self.timezone)
        _check_changes(self.changes, moves=self.moves)

    @property
    def moves(self) -> bool:
        """The appointments get new times, each its own."""
        return self.shift is not None or self.shift_to is not None or self.to_free_slot

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the plan, the same for every calendar."""
        return (
            "event_id",
            *(("location_id",) if self.location_id is not None else ()),
            *(TIMES if self.moves else ()),
            *self.changes,
            *(f"before_{name}" for name in self.watched),
        )

    @property
    def watched(self) -> tuple[str, ...]:
        """Fields whose state before goes into the plan: long texts only where it sets them."""
        return tuple(name for name in PLANNED if not BY_NAME[name].multiline or name in self.changes)


class PlanResult(Struct, frozen=True):
    """A plan, and what is not in it."""

    rows: tuple[Mapping[str, str], ...]
    """By column, in the order of the columns; what is empty is missing."""
    left_out: tuple[tuple[str, str], ...]
    """Event ids, each with the reason."""
    columns: tuple[str, ...]
    days: int
    """Days on which something is planned, before it moves."""


def list_wanted(events: Iterable[Appointment], query: PlanQuery) -> list[Whose]:
    """Whose free slots are needed to plan these events, each once."""
    planned = (event for event in events if query.to_free_slot and _find_reason(event, query) is None)
    return list(dict.fromkeys(whose for event in planned if (whose := find_whose(event, query.changes))))


def build_plan(events: Iterable[Appointment], query: PlanQuery, offers: Offers = _NO_OFFERS) -> PlanResult:
    """Plan the requested changes of all events that can be changed, in the order of their times.

    The earliest event gets the earliest of the free slots.
    """
    picker = SlotPicker(offers)
    known = sorted(events, key=lambda event: (event.start_time or _LAST, event.id or ""))
    first_day = query.first_day or _find_first_day(known, query)
    rows: list[Mapping[str, str]] = []
    left_out: list[tuple[str, str]] = []
    days: set[date | None] = set()
    for event in known:
        planned = _find_reason(event, query) or _plan(event, query, first_day, picker)
        if isinstance(planned, str):
            left_out.append((event.id or "", planned))
        else:
            rows.append(planned)
            days.add(_day_of(event, query))
    return PlanResult(tuple(rows), tuple(left_out), query.columns, len(days))


def write_plan(planned: PlanResult, format: PlanFormat) -> Iterator[str]:
    """The lines of the plan's file."""
    if format == "csv":
        yield from write_csv(planned.rows, planned.columns)
        return
    for row in planned.rows:
        yield _encode(row).decode() + "\n"


def _find_first_day(events: Iterable[Appointment], query: PlanQuery) -> date | None:
    days = (_day_of(one, query) for one in events if _find_reason(one, query) is None)
    return min((day for day in days if day is not None), default=None)


def _day_of(event: Appointment, query: PlanQuery) -> date | None:
    if event.start_time is None:
        return None
    return (event.start_time.astimezone(find_zone(query.timezone)) if query.timezone else event.start_time).date()


def _find_reason(event: Appointment, query: PlanQuery) -> str | None:
    """Why an event is not for this plan."""
    if not event.id:
        return "the server does not show its id"
    if event.deleted:
        return "it is deleted"
    if _is_master(event.id, event):
        return "it is the master of a series"
    if query.statuses and event.appointment_status not in query.statuses:
        return f"its status is {event.appointment_status}"
    if not (query.statuses or query.include_cancelled) and event.appointment_status in _NOT_TO_MOVE:
        return f"its status is {event.appointment_status}"
    return query.selection.explain(event, query.timezone)


def _is_master(event_id: str, event: Appointment) -> bool:
    is_instance = event.master_event_id not in (None, event_id) or parse_instance_id(event_id) is not None
    return not is_instance and bool(event.rrule is not None or event.is_recurring)


def _plan(
    event: Appointment, query: PlanQuery, first_day: date | None, picker: SlotPicker
) -> Mapping[str, str] | str:
    row = {"event_id": event.id or ""}
    if query.location_id is not None:
        row["location_id"] = query.location_id
    if query.moves:
        try:
            times = _move(event, query, first_day, picker)
        except (ValueError, OverflowError) as error:
            return str(error)
        row |= {name: moment.isoformat() for name, moment in zip(TIMES, times, strict=True)}
    row |= query.changes
    row |= {f"before_{name}": text for name in query.watched if (text := _render(getattr(event, name)))}
    checked = read_row(1, row)
    return checked.reason if isinstance(checked, RowFault) else row


def _move(
    event: Appointment, query: PlanQuery, first_day: date | None, picker: SlotPicker
) -> tuple[datetime, datetime]:
    """The new start and end, at the offset of the zone on that day."""
    if event.start_time is None or event.end_time is None:
        raise ValueError("the server does not show when it is")
    length = event.end_time.astimezone(UTC) - event.start_time.astimezone(UTC)
    if query.to_free_slot:
        start = picker.take(find_whose(event, query.changes), length)
    elif query.shift is not None:
        start = apply_shift(event.start_time, query.shift, query.timezone)
    else:
        zone, target = query.timezone or "UTC", query.shift_to or date.max
        wall = event.start_time.astimezone(find_zone(zone)).replace(tzinfo=None)
        start = place(wall + (target - (first_day or wall.date())), zone)
    return start, (start.astimezone(UTC) + length).astimezone(start.tzinfo)


def _render(value: object) -> str:
    """Empty for a text that a cell would change: it could not be compared."""
    text = value.isoformat() if isinstance(value, datetime) else str(value or "")
    return text if text == text.strip() else ""


def _check_zone(zone: str) -> None:
    try:
        find_zone(zone)
    except ValueError as error:
        raise ConfigurationError(f"timezone: {error}") from None


def _check_changes(changes: Mapping[str, str], *, moves: bool) -> None:
    """Reject early what would make every row invalid."""
    for name, text in changes.items():
        if name not in _FIELDS:
            raise ConfigurationError(f"{name} is not a field of AppointmentUpdate, so it cannot be set")
        if not text.strip():
            raise ConfigurationError(f"{name} is empty: in a plan, an empty cell leaves the field unchanged")
        if moves and name in TIMES:
            raise ConfigurationError(f"{name} and a shift are both set: set either")
    checked = read_row(1, {"event_id": "any", **changes}) if changes else None
    if isinstance(checked, RowFault):
        raise ConfigurationError(f"{checked.column}: {explain(checked.reason, checked.hint)}")
