"""One day of one location, as the page shows it: who is where, and when, in local time of a zone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from .contacts import name_person
from .models import BookedAppointment, Location
from .store import SEED_DAY, Store

OWN_ZONES: Final = "own"
"""Each calendar's appointments on its own clock."""
_WIDEST: Final = timedelta(hours=14)
"""How far a clock may be from UTC, at most."""


class Shown(Struct, frozen=True):
    """An appointment on the page."""

    id: str
    title: str
    status: str
    calendar: str
    person: str
    room: str
    start: int
    """In minutes from midnight."""
    end: int
    is_block: bool


class Person(Struct, frozen=True):
    """Somebody whose appointments are shown."""

    id: str
    name: str


class Booked(Struct, frozen=True):
    """A calendar of the location."""

    id: str
    name: str
    zone: str


class DayView:
    """A location's appointments on a day in a zone; knows on which day each of them is.

    Raises `ValueError` for an unknown location, day or zone.
    """

    def __init__(self, store: Store, location_id: str | None, day: str | None, zone: str | None) -> None:
        self._store = store
        self.location = _find_location(store, location_id)
        self.zone = zone or OWN_ZONES
        self._fixed = None if self.zone == OWN_ZONES else _find_zone(self.zone)
        own = [one for one in store.calendars.values() if one.location_id == self.location.id]
        self.calendars = [Booked(one.id, one.name, one.zone) for one in own]
        team = dict.fromkeys(user for calendar in own for user in calendar.team)
        self.people = [Person(user, " ".join(name_person(user))) for user in team]
        self._zones = {one.id: ZoneInfo(one.zone) for one in own}
        self._days: dict[str, date] = {}
        for event in store:
            self.follow(event)
        self.counts = Counter(self._days.values())
        """Appointments by day, series and deleted ones aside."""
        self.day = date.fromisoformat(day) if day else self._find_busiest()

    def follow(self, event: BookedAppointment) -> tuple[date | None, date | None]:
        """Note where an appointment is now; returns the days on which it was and is."""
        before = self._days.pop(event.id, None)
        if event.location_id != self.location.id or event.deleted or event.rrule is not None:
            return before, None
        day = self._days[event.id] = event.start_time.astimezone(self._get_zone(event)).date()
        return before, day

    def list_shown(self) -> list[Shown]:
        """All of the day, instances of series included, by start."""
        start = datetime.combine(self.day, time(), UTC)
        found = self._store.list_between(self.location.id, start - _WIDEST, start + timedelta(days=1) + _WIDEST)
        return [shown for shown in map(self.show, found) if shown is not None]

    def show(self, event: BookedAppointment) -> Shown | None:
        """An appointment as the page shows it; `None` if it is not on this day."""
        zone = self._get_zone(event)
        start = event.start_time.astimezone(zone)
        if event.deleted or event.location_id != self.location.id or start.date() != self.day:
            return None
        minutes = start.hour * 60 + start.minute
        length = round((event.end_time - event.start_time) / timedelta(minutes=1))
        return Shown(
            id=event.id,
            title=event.title,
            status=event.appointment_status,
            calendar=event.calendar_id,
            person=event.assigned_user_id,
            room=event.address,
            start=minutes,
            end=minutes + length,
            is_block=event.is_block,
        )

    def _get_zone(self, event: BookedAppointment) -> ZoneInfo:
        return self._fixed or self._zones.get(event.calendar_id) or _find_zone(self.location.zone or "UTC")

    def _find_busiest(self) -> date:
        """The day with the most appointments, the first of them."""
        return max(sorted(self.counts), key=lambda day: self.counts[day], default=SEED_DAY.date())


def _find_location(store: Store, location_id: str | None) -> Location:
    if not location_id:
        return store.first_location
    if location_id not in store.locations:
        raise ValueError(f"unknown location: {location_id}")
    return store.locations[location_id]


def _find_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"unknown zone: {name}") from None
