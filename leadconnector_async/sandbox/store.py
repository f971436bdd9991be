"""The data of the sandbox: locations, calendars, users, appointments and free slots, as pure state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from ..recurrence import Instance, expand_series, parse_instance_id

SEED_DAY: Final = datetime(2027, 3, 3, tzinfo=UTC)
"""When a sandbox's own calendar begins: a week before its first appointments."""
_TICK: Final = timedelta(milliseconds=1)
_FREES_ITS_SLOT: Final = frozenset({"cancelled", "invalid"})


class User(Struct, frozen=True):
    """A member of the staff."""

    id: str
    zone: str
    """IANA name of the time zone that answers render times in."""


class Calendar(Struct, frozen=True, omit_defaults=True):
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
    location_id: str = ""
    is_active: bool = True
    """`False` for a draft."""


class Stamps(Struct, frozen=True):
    """When an event was added, and when it was last changed; in UTC, to the millisecond."""

    added: datetime
    updated: datetime


_SEEDED: Final = Stamps(datetime(2027, 3, 1, 16, 4, 11, 201_000, UTC), datetime(2027, 3, 2, 8, 30, 2, 884_000, UTC))


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
    is_block: bool = False
    """It is no appointment but blocks its time: for its assignee, or for its calendar if it has none."""

    @property
    def is_busy(self) -> bool:
        """It takes its slot."""
        return not self.deleted and self.rrule is None and self.appointment_status not in _FREES_ITS_SLOT


class BookedNote(Struct, frozen=True):
    """A note on an appointment."""

    id: str
    body: str
    user_id: str | None
    contact_id: str
    date_added: datetime | None = None
    """In UTC; of the seed if `None`."""


class Store:
    """All that the server knows."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.calendars: dict[str, Calendar] = {}
        self.groups: dict[str, str] = {}
        """The group of each calendar that is in one, by the calendar's id."""
        self.contacts: dict[str, str] = {}
        """The location of each contact, by its id."""
        self.now: datetime | None = None
        """The time that changes are stamped with; `None` while the seed is laid."""
        self._stamps: dict[str, Stamps] = {}
        self._events: dict[str, BookedAppointment] = {}
        self.notes: defaultdict[str, list[BookedNote]] = defaultdict(list)
        self._busy: defaultdict[tuple[str, str, date], set[str]] = defaultdict(set)
        self._days: defaultdict[tuple[str, date], set[str]] = defaultdict(set)
        self._masters: defaultdict[str, set[str]] = defaultdict(set)

    def __iter__(self) -> Iterator[BookedAppointment]:
        return iter(self._events.values())

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: BookedAppointment) -> None:
        """Add an appointment, or replace the one with its id."""
        known = self._events.get(event.id)
        if known is not None:
            self._forget(known)
        self._events[event.id] = event
        if event.rrule is not None:
            self._masters[event.location_id].add(event.id)
        for day in _list_days(event):
            self._days[event.location_id, day].add(event.id)
            if event.is_busy:
                self._busy[event.location_id, _name_owner(event), day].add(event.id)
        if self.now is not None:
            self._stamp(event, self.now, is_new=known is None)

    def find_stamps(self, event: BookedAppointment) -> Stamps:
        """When an event was added and last changed; an instance that was never changed has those of its series."""
        return self._stamps.get(event.id) or self._stamps.get(event.master_event_id or "") or _SEEDED

    def _stamp(self, event: BookedAppointment, now: datetime, *, is_new: bool) -> None:
        """Every change has a later time than the one before, however fast they follow each other."""
        if is_new and event.master_event_id is None:
            self._stamps[event.id] = Stamps(now, now)
        else:
            known = self.find_stamps(event)
            self._stamps[event.id] = Stamps(known.added, max(now, known.updated + _TICK))

    def find(self, event_id: str) -> BookedAppointment | None:
        """An appointment, or an instance of a series, by its id."""
        return self._events.get(event_id) or self._find_instance(event_id)

    def get(self, event_id: str) -> BookedAppointment:
        """As `find`. Raises `KeyError` for an unknown one."""
        event = self.find(event_id)
        if event is None:
            raise KeyError(event_id)
        return event

    def edit(self, event_id: str, changes: Mapping[str, object]) -> None:
        """Change an appointment by the names of its fields. Raises `KeyError`; `ValueError` for a naive time."""
        times = {name: _to_utc(name, value) for name, value in changes.items() if isinstance(value, datetime)}
        self.put(msgspec.structs.replace(self.get(event_id), **{**changes, **times}))

    def encode(self) -> bytes:
        """All appointments as JSON, by their ids: equal states give equal bytes."""
        return msgspec.json.encode(sorted(self, key=lambda event: event.id))

    def is_free(self, event: BookedAppointment) -> bool:
        """No other appointment of its assignee overlaps with it, nor an instance of a series."""
        owners = {event.assigned_user_id, event.calendar_id}
        keys = [(event.location_id, owner, day) for owner in owners for day in _list_days(event)]
        others = [self._events[other] for key in keys for other in self._busy.get(key, ()) if other != event.id]
        for master in self._masters_of(event.location_id, owners - {""}):
            if master.id != event.id:
                others += self._list_instances(master, event.start_time, event.end_time)
        return not any(
            other.id != event.id and _overlap(other, event.start_time, event.end_time) for other in others
        )

    def list_between(self, location_id: str, start: datetime, end: datetime) -> list[BookedAppointment]:
        """What is not deleted and overlaps with a range, instances of series included, by its start."""
        days = _list_dates(start, end)
        masters = self._masters.get(location_id, set())
        ids = {event_id for day in days for event_id in self._days.get((location_id, day), ())} - masters
        events = [self._events[event_id] for event_id in ids]
        events += [one for master in masters for one in self._list_instances(self._events[master], start, end)]
        found = [one for one in events if not one.deleted and _overlap(one, start, end)]
        return sorted(found, key=lambda one: (one.start_time, one.id))

    def _masters_of(self, location_id: str, owners: set[str]) -> list[BookedAppointment]:
        """The series that take the time of these people or calendars."""
        masters = [self._events[event_id] for event_id in self._masters.get(location_id, ())]
        return [
            one for one in masters if _name_owner(one) in owners and one.appointment_status not in _FREES_ITS_SLOT
        ]

    def _forget(self, event: BookedAppointment) -> None:
        self._masters[event.location_id].discard(event.id)
        for day in _list_days(event):
            self._days[event.location_id, day].discard(event.id)
            self._busy[event.location_id, _name_owner(event), day].discard(event.id)

    def _list_instances(self, master: BookedAppointment, start: datetime, end: datetime) -> list[BookedAppointment]:
        """The instances of a series that overlap with a range, less those that were changed by themselves."""
        if master.deleted:
            return []
        start -= master.end_time - master.start_time
        instances = self._expand(master, start, end)
        return [_build_instance(master, one) for one in instances if one.id not in self._events]

    def _find_instance(self, event_id: str) -> BookedAppointment | None:
        instance = parse_instance_id(event_id)
        master = self._events.get(instance.master_event_id) if instance is not None else None
        if instance is None or master is None or master.rrule is None:
            return None
        moment = timedelta(seconds=1)
        around = self._expand(master, instance.start - moment, instance.start + moment)
        return next((_build_instance(master, one) for one in around if one.id == event_id), None)

    def _expand(self, master: BookedAppointment, after: datetime, before: datetime) -> Iterator[Instance]:
        zone = self.calendars[master.calendar_id].zone
        return expand_series(
            master.id,
            master.rrule or "",
            master.start_time,
            master.end_time,
            zone=zone,
            after=after,
            before=before,
        )


def _build_instance(master: BookedAppointment, instance: Instance) -> BookedAppointment:
    return msgspec.structs.replace(
        master,
        id=instance.id,
        master_event_id=master.id,
        rrule=None,
        start_time=instance.start.astimezone(UTC),
        end_time=instance.end.astimezone(UTC),
    )


def _to_utc(name: str, moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{name} is {moment.isoformat()}; give it an offset, such as 2027-03-10T13:00:00Z")
    return moment.astimezone(UTC)


def _overlap(event: BookedAppointment, start: datetime, end: datetime) -> bool:
    return event.start_time < end and start < event.end_time


def _name_owner(event: BookedAppointment) -> str:
    """Whose time it takes: its assignee's, or that of the whole calendar."""
    return event.assigned_user_id or event.calendar_id


def _list_days(event: BookedAppointment) -> list[date]:
    return _list_dates(event.start_time, event.end_time)


def _list_dates(start: datetime, end: datetime) -> list[date]:
    """The days in UTC that a stretch of time touches."""
    first = start.astimezone(UTC).date()
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def list_free_slots(
    store: Store, calendar: Calendar, start: datetime, end: datetime, *, zone: str | None, users: Sequence[str]
) -> dict[str, list[str]]:
    """Free slots between two instants, by their day in `zone` (the calendar's own if `None`), as ISO 8601."""
    shown_in = ZoneInfo(zone or calendar.zone)
    days: dict[str, list[str]] = {}
    for moment in _list_grid(calendar, start, end):
        if any(store.is_free(_imagine(calendar, moment, user)) for user in users):
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
