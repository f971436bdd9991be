"""Building a plan from the calendar: appointments as they are listed become rows of a plan file.

Rule: an appointment that cannot be planned is named, and never left out silently. Every row carries the state
before, so that a plan whose appointments have changed meanwhile is refused.

Pure. Must not import the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from ..exceptions import ConfigurationError, RowFault
from ..models import Appointment
from .clock import Shift, apply_shift, find_zone, place
from .plan import PlanFormat, write_csv
from .rows import BEFORE, read_row

_NOT_TO_MOVE: Final = frozenset({"cancelled", "invalid"})
_encode: Final = msgspec.json.Encoder().encode


class PlanWish(Struct, frozen=True, kw_only=True):
    """What shall become of the appointments that are listed."""

    shift: Shift | None = None
    """How far each moves."""
    shift_to: date | None = None
    """The day to which the first day moves; the others keep their distance."""
    timezone: str | None = None
    """IANA name of the zone whose clock is kept."""
    changes: Mapping[str, str] = {}
    """Other fields to set, by their names in `AppointmentUpdate`."""
    statuses: frozenset[str] = frozenset()
    """Only appointments with one of these; empty: all."""
    include_cancelled: bool = False
    location_id: str | None = None
    """Written into each row, for plans of several locations."""

    def __post_init__(self) -> None:
        if self.shift is not None and self.shift_to is not None:
            raise ConfigurationError("give either shift or shift_to")
        if self.shift is None and self.shift_to is None and not self.changes:
            raise ConfigurationError("the plan would change nothing: give shift, shift_to, or a field to set")
        keeps_clock = self.shift_to is not None or (self.shift is not None and self.shift.days != 0)
        if keeps_clock and self.timezone is None:
            raise ConfigurationError("days keep the time of day, and so need a timezone, such as Europe/London")
        if self.timezone is not None:
            _check_zone(self.timezone)


class Planned(Struct, frozen=True):
    """A plan, and what is not in it."""

    rows: tuple[Mapping[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    """Event ids, each with the reason."""


def build_plan(events: Iterable[Appointment], wish: PlanWish) -> Planned:
    """Plan what is wished for all events that can be changed, in the order of their times."""
    known = sorted((one for one in events if one.id and one.start_time), key=_sort_key)
    first_day = _find_first_day(known, wish)
    rows: list[Mapping[str, str]] = []
    left_out: list[tuple[str, str]] = []
    for event in known:
        planned = _find_reason(event, wish) or _plan(event, wish, first_day)
        if isinstance(planned, str):
            left_out.append((event.id or "", planned))
        else:
            rows.append(planned)
    return Planned(tuple(rows), tuple(left_out))


def write_plan(planned: Planned, format: PlanFormat) -> Iterator[str]:
    """The lines of the plan's file."""
    if format == "csv":
        yield from write_csv(planned.rows, list_columns(planned.rows))
        return
    for row in planned.rows:
        yield _encode(row).decode() + "\n"


def list_columns(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """The columns that some row fills, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _sort_key(event: Appointment) -> tuple[datetime, str]:
    return (event.start_time or datetime.max.replace(tzinfo=UTC), event.id or "")


def _find_first_day(events: Iterable[Appointment], wish: PlanWish) -> date | None:
    days = [_day_of(one, wish) for one in events if _find_reason(one, wish) is None]
    return min(days, default=None)


def _day_of(event: Appointment, wish: PlanWish) -> date:
    start = event.start_time or datetime.max.replace(tzinfo=UTC)
    return (start.astimezone(find_zone(wish.timezone)) if wish.timezone else start).date()


def _find_reason(event: Appointment, wish: PlanWish) -> str | None:
    """Why an event is not for this plan."""
    if event.deleted:
        return "it is deleted"
    if event.rrule is not None and event.master_event_id in (None, event.id):
        return "it is the master of a series"
    if wish.statuses and event.appointment_status not in wish.statuses:
        return f"its status is {event.appointment_status}"
    if not (wish.statuses or wish.include_cancelled) and event.appointment_status in _NOT_TO_MOVE:
        return f"its status is {event.appointment_status}"
    return None


def _plan(event: Appointment, wish: PlanWish, first_day: date | None) -> Mapping[str, str] | str:
    row = {"event_id": event.id or ""}
    if wish.location_id is not None:
        row["location_id"] = wish.location_id
    try:
        times = _move(event, wish, first_day)
    except (ValueError, OverflowError) as error:
        return str(error)
    if times is not None:
        row |= {"start_time": times[0].isoformat(), "end_time": times[1].isoformat()}
    row |= wish.changes
    row |= {f"before_{name}": text for name in BEFORE if (text := _render(getattr(event, name)))}
    checked = read_row(1, row)
    return checked.reason if isinstance(checked, RowFault) else row


def _move(event: Appointment, wish: PlanWish, first_day: date | None) -> tuple[datetime, datetime] | None:
    """The new start and end, at the offset of the zone on that day."""
    if event.start_time is None or event.end_time is None:
        raise ValueError("the server does not show when it is")
    if wish.shift_to is not None and first_day is not None and wish.timezone is not None:
        wall = event.start_time.astimezone(find_zone(wish.timezone)).replace(tzinfo=None)
        start = place(wall + (wish.shift_to - first_day), wish.timezone)
    elif wish.shift is not None:
        start = apply_shift(event.start_time, wish.shift, wish.timezone)
    else:
        return None
    length: timedelta = event.end_time - event.start_time
    return start, (start.astimezone(UTC) + length).astimezone(start.tzinfo)


def _render(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value or "")


def _check_zone(zone: str) -> None:
    try:
        find_zone(zone)
    except ValueError as error:
        raise ConfigurationError(f"timezone: {error}") from None
