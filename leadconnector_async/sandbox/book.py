"""The book: locations, calendars, users and appointments, as pure state.

Rule: an appointment is looked up by its id and by (assignee, day), never by a scan, so that a full book is as
fast as an empty one. Times are kept in UTC.

Pure. Knows recurrence only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from dateutil.rrule import rrule, rruleset, rrulestr
from msgspec import Struct

from ..recurrence import parse_instance_id

_FREES_ITS_SLOT: Final = frozenset({"cancelled", "invalid"})


class User(Struct, frozen=True):
    """A member of the staff."""

    id: str
    zone: str
    """IANA name of the time zone that answers render times in."""


class Calendar(Struct, frozen=True):
    """A calendar and when it can be booked."""

    id: str
    name: str
    zone: str
    """IANA name of the zone of its opening hours."""
    team: tuple[str, ...]
    """Ids of its users."""
    slot_minutes: int
    opens: int
    """Hour at which it opens."""
    closes: int
    """Hour at which it closes."""


class BookedAppointment(Struct, frozen=True, kw_only=True):
    """The state of one appointment."""

    id: str
    location_id: str
    calendar_id: str
    contact_id: str
    title: str
    appointment_status: str
    assigned_user_id: str
    start_time: datetime
    """Aware, in UTC."""
    end_time: datetime
    """Aware, in UTC."""
    address: str = ""
    description: str = ""
    meeting_location_type: str | None = None
    meeting_location_id: str | None = None
    rrule: str | None = None
    master_event_id: str | None = None
    deleted: bool = False

    @property
    def is_busy(self) -> bool:
        """It takes its slot."""
        return not self.deleted and self.rrule is None and self.appointment_status not in _FREES_ITS_SLOT


class Book:
    """All that the server knows."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.calendars: dict[str, Calendar] = {}
        self._events: dict[str, BookedAppointment] = {}
        self._busy: defaultdict[tuple[str, date], set[str]] = defaultdict(set)

    def __iter__(self) -> Iterator[BookedAppointment]:
        return iter(self._events.values())

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: BookedAppointment) -> None:
        """Add an appointment, or replace the one with its id."""
        known = self._events.get(event.id)
        if known is not None:
            for key in _list_days(known):
                self._busy[key].discard(event.id)
        self._events[event.id] = event
        if event.is_busy:
            for key in _list_days(event):
                self._busy[key].add(event.id)

    def find(self, event_id: str) -> BookedAppointment | None:
        """An appointment, or an instance of a series, by its id."""
        return self._events.get(event_id) or self._find_instance(event_id)

    def is_free(self, event: BookedAppointment) -> bool:
        """No other appointment of its assignee overlaps with it."""
        others = {other for key in _list_days(event) for other in self._busy.get(key, ())}
        return not any(
            other.start_time < event.end_time and event.start_time < other.end_time
            for other in (self._events[other_id] for other_id in others if other_id != event.id)
        )

    def _find_instance(self, event_id: str) -> BookedAppointment | None:
        instance = parse_instance_id(event_id)
        master = self._events.get(instance.master_event_id) if instance is not None else None
        if instance is None or master is None or master.rrule is None:
            return None
        length = master.end_time - master.start_time
        if instance.length != length or not self._has_instance(master, master.rrule, instance.start):
            return None
        return msgspec.structs.replace(
            master,
            id=event_id,
            master_event_id=master.id,
            rrule=None,
            start_time=instance.start,
            end_time=instance.start + length,
        )

    def _has_instance(self, master: BookedAppointment, rule: str, start: datetime) -> bool:
        zone = ZoneInfo(self.calendars[master.calendar_id].zone)
        dates: rrule | rruleset = rrulestr(rule, dtstart=master.start_time.astimezone(zone), forceset=True)
        local = start.astimezone(zone)
        return bool(dates.between(local, local, inc=True))


def _list_days(event: BookedAppointment) -> list[tuple[str, date]]:
    first = event.start_time.astimezone(UTC).date()
    last = (event.end_time - timedelta(microseconds=1)).astimezone(UTC).date()
    return [(event.assigned_user_id, first + timedelta(days=day)) for day in range((last - first).days + 1)]
