"""The free slots of a calendar.

Rule: a slot is free if somebody of the team is; slots lie on the calendar's grid, inside its opening hours.

Pure. Knows the book.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from .book import Book, BookedAppointment, Calendar


def list_free_slots(
    book: Book, calendar: Calendar, start: datetime, end: datetime, *, zone: str | None, users: Sequence[str]
) -> dict[str, list[str]]:
    """Free slots between two instants, by their day in `zone` (the calendar's own if `None`), as ISO 8601."""
    shown_in = ZoneInfo(zone or calendar.zone)
    days: dict[str, list[str]] = {}
    for moment in _list_grid(calendar, start, end):
        if any(book.is_free(_imagine(calendar, moment, user)) for user in users):
            local = moment.astimezone(shown_in)
            days.setdefault(local.date().isoformat(), []).append(local.isoformat())
    return days


def _list_grid(calendar: Calendar, start: datetime, end: datetime) -> Iterator[datetime]:
    zone, step = ZoneInfo(calendar.zone), timedelta(minutes=calendar.slot_minutes)
    day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    while day <= last:
        moment, closes = (_place(day, hour, zone) for hour in (calendar.opens, calendar.closes))
        while moment + step <= closes:
            if start <= moment < end:
                yield moment
            moment += step
        day += timedelta(days=1)


def _place(day: date, hour: int, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(hour), zone).astimezone(UTC)


def _imagine(calendar: Calendar, start: datetime, user_id: str) -> BookedAppointment:
    return BookedAppointment(
        id="",
        location_id=calendar.location_id,
        calendar_id=calendar.id,
        contact_id="",
        title="",
        appointment_status="confirmed",
        assigned_user_id=user_id,
        start_time=start,
        end_time=start + timedelta(minutes=calendar.slot_minutes),
    )
