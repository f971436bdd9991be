"""A clinic, built from a number: the same seed gives the same ids and data on every machine and every Python.

Nothing is random and no clock is read. Ids come from a hash, times from a fixed Wednesday, 10 March 2027. More
locations leave the first as it is.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from .models import BookedAppointment, Calendar, Group, Location, User
from .store import SEED_DAY, Store

FIRST_DAY: Final = datetime(2027, 3, 10)
"""The first day with single appointments; wall-clock time in each calendar's own zone."""
SERIES_DAY: Final = datetime(2027, 3, 8)
"""The first day of the series, a Monday."""

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PRACTICES: Final = (
    ("General practice", "America/New_York", 15),
    ("Physiotherapy", "America/Los_Angeles", 30),
    ("Telehealth", "Asia/Kolkata", 30),
    ("Dental care", "Europe/London", 20),
)
_TOWNS: Final = (
    ("Riverside", "12 Mill Lane, Riverside", "America/New_York"),
    ("Hillcrest", "3 Chapel Street, Hillcrest", "America/Los_Angeles"),
    ("Lakeview", "48 Harbour Road, Lakeview", "Europe/London"),
    ("Oakfield", "7 Orchard Avenue, Oakfield", "Asia/Kolkata"),
)
"""Of each location: what it is called, its address and its time zone."""
_USER_ZONES: Final = ("America/New_York", "America/Los_Angeles", "Asia/Kolkata", "Europe/London")
_DOCTORS_EACH: Final = 4
_GROUPS: Final = ("Consultations", "Treatments")
_OPENS: Final = 8
_CLOSES: Final = 18
_TITLES: Final = ("Check-up", "Follow-up", "First visit", "Vaccination", "Consultation", "X-ray review")
_STATUSES: Final = ("confirmed",) * 6 + ("new", "showed", "noshow", "cancelled")
_RULES: Final = (
    "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=8",
    "RRULE:FREQ=WEEKLY;BYDAY=MO,TH;UNTIL=20270501T000000Z",
    "RRULE:FREQ=DAILY;INTERVAL=1;COUNT=10\nEXDATE:20270316T053000Z,20270317T053000Z",
    "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;COUNT=6",
)


class _Site(Struct, frozen=True):
    """The location that is being built, and how its ids are made."""

    store: Store
    seed: int
    number: int

    def build_id(self, kind: str, number: int) -> str:
        return build_id(self.seed, f"{kind} of {self.number}" if self.number else kind, number)

    def put_calendar(self, calendar: Calendar, group: int) -> None:
        group_id = self.build_id("group", group)
        self.store.groups[calendar.id] = group_id
        self.store.groups.known[group_id] = Group(group_id, calendar.location_id, _GROUPS[group])
        self.store.calendars[calendar.id] = calendar

    def put(self, event: BookedAppointment) -> str:
        self.store.put(event)
        self.store.contacts[event.contact_id] = event.location_id
        return event.id


def build_id(seed: int, kind: str, number: int) -> str:
    """An id of 20 letters and digits."""
    value = int.from_bytes(hashlib.sha256(f"{seed}:{kind}:{number}".encode()).digest())
    letters: list[str] = []
    for _ in range(20):
        value, digit = divmod(value, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(letters)


def build_store(seed: int, appointments: int, locations: int = 1) -> Store:
    """A store of so many locations, each with so many single appointments, and a few series."""
    store = Store()
    for number in range(locations):
        location = _build_location(_Site(store, seed, number), appointments)
        store.locations[location.id] = location
    store.now = SEED_DAY
    return store


def _build_location(site: _Site, appointments: int) -> Location:
    location_id = build_id(site.seed, "location", site.number)
    calendars = [_put_calendar(site, location_id, number) for number in range(len(_PRACTICES))]
    singles = tuple(_put_single(site, calendars, number) for number in range(appointments))
    series = tuple(_put_series(site, calendars, number) for number in range(len(_RULES)))
    town, address, zone = _TOWNS[site.number % len(_TOWNS)]
    count = site.number // len(_TOWNS)
    name = f"{town} Clinic {count + 1}" if count else f"{town} Clinic"
    return Location(location_id, singles, series, name, address, zone)


def _put_calendar(site: _Site, location_id: str, number: int) -> Calendar:
    name, zone, slot_minutes = _PRACTICES[number]
    first = number * (_DOCTORS_EACH + 1)
    team = tuple(site.build_id("user", first + member) for member in range(_DOCTORS_EACH + 1))
    for member, user_id in enumerate(team):
        site.store.users[user_id] = User(user_id, _USER_ZONES[(number + member) % len(_USER_ZONES)])
    calendar = Calendar(
        site.build_id("calendar", number), name, zone, team, slot_minutes, _OPENS, _CLOSES, location_id
    )
    site.put_calendar(calendar, number % len(_GROUPS))
    return calendar


def _put_single(site: _Site, calendars: list[Calendar], number: int) -> str:
    """The doctors of all calendars fill their days one after the other; the last of a team runs the series."""
    round_number, remainder = divmod(number, len(calendars) * _DOCTORS_EACH)
    doctor, calendar_number = divmod(remainder, len(calendars))
    calendar = calendars[calendar_number]
    slots_a_day = (_CLOSES - _OPENS) * 60 // calendar.slot_minutes
    days, slot = divmod(round_number, slots_a_day)
    start = _to_utc(calendar, FIRST_DAY + timedelta(days=days, hours=_OPENS, minutes=slot * calendar.slot_minutes))
    event = BookedAppointment(
        id=site.build_id("appointment", number),
        location_id=calendar.location_id,
        calendar_id=calendar.id,
        contact_id=site.build_id("contact", number),
        title=_TITLES[number % len(_TITLES)],
        appointment_status=_STATUSES[number % len(_STATUSES)],
        assigned_user_id=calendar.team[doctor],
        start_time=start,
        end_time=start + timedelta(minutes=calendar.slot_minutes),
        address=f"Room {number % 12 + 1}",
        meeting_location_type="custom",
        meeting_location_id="custom_0",
    )
    return site.put(event)


def _put_series(site: _Site, calendars: list[Calendar], number: int) -> str:
    calendar = calendars[number % len(calendars)]
    start = _to_utc(calendar, SERIES_DAY + timedelta(hours=_OPENS + 1 + number))
    event = BookedAppointment(
        id=site.build_id("series", number),
        location_id=calendar.location_id,
        calendar_id=calendar.id,
        contact_id=site.build_id("series contact", number),
        title=f"Course {number + 1}",
        appointment_status="confirmed",
        assigned_user_id=calendar.team[_DOCTORS_EACH],
        start_time=start,
        end_time=start + timedelta(minutes=calendar.slot_minutes),
        address="Course room",
        rrule=_RULES[number % len(_RULES)],
    )
    return site.put(event)


def _to_utc(calendar: Calendar, wall_clock: datetime) -> datetime:
    return wall_clock.replace(tzinfo=ZoneInfo(calendar.zone)).astimezone(UTC)
