"""The slots of a calendar: which it has by its hours, and which are free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from .models import BookedAppointment, Calendar
from .store import Store


def list_free_slots(
    store: Store, calendar: Calendar, start: datetime, end: datetime, *, zone: str | None, users: Sequence[str]
) -> dict[str, list[str]]:
    """Free slots between two instants, by their day in `zone` (the calendar's own if `None`), as ISO 8601."""
    shown_in = ZoneInfo(zone or calendar.zone)
    days: dict[str, list[str]] = {}
    users = _list_candidates(calendar, users)
    for moment in _list_grid(calendar, start, end):
        if _is_in_time(store, calendar, moment) and any(
            store.is_free(_fill_slot(calendar, moment, user)) for user in users
        ):
            local = moment.astimezone(shown_in)
            days.setdefault(local.date().isoformat(), []).append(local.isoformat())
    return days


def _list_grid(calendar: Calendar, start: datetime, end: datetime) -> Iterator[datetime]:
    zone, step = ZoneInfo(calendar.zone), timedelta(minutes=calendar.slot_minutes)
    day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    while day <= last:
        moment, closes = (
            datetime.combine(day, time(hour), zone).astimezone(UTC) for hour in (calendar.opens, calendar.closes)
        )
        while moment + step <= closes:
            if start <= moment < end:
                yield moment
            moment += step
        day += timedelta(days=1)


def _fill_slot(calendar: Calendar, start: datetime, user_id: str) -> BookedAppointment:
    """The appointment that would take a slot."""
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


def is_bookable(store: Store, calendar: Calendar, event: BookedAppointment) -> bool:
    """Whether an appointment is in the hours of its calendar, on its grid, and booked long enough before."""
    zone = ZoneInfo(calendar.zone)
    start, end = event.start_time.astimezone(zone), event.end_time.astimezone(zone)
    midnight = start.replace(hour=0, minute=0, second=0)
    opens, closes = (midnight.replace(hour=hour) for hour in (calendar.opens, calendar.closes))
    grid = timedelta(minutes=calendar.slot_minutes)
    on_grid = opens <= start and end <= closes and (start - opens) % grid == timedelta()
    return on_grid and _is_in_time(store, calendar, event.start_time)


def _is_in_time(store: Store, calendar: Calendar, start: datetime) -> bool:
    """A calendar without a notice can be booked for the past [guess]."""
    if not calendar.notice_hours or store.now is None:
        return True
    return start >= store.now + timedelta(hours=calendar.notice_hours)


def _list_candidates(calendar: Calendar, users: Sequence[str]) -> Sequence[str]:
    """With whom a slot can be booked: any of these users, or the whole team if it is needed."""
    if not calendar.is_active:
        return ()
    if calendar.kind == "collective":
        return calendar.team[:1] if users else ()
    return users
