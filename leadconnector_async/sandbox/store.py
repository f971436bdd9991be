"""The state of the sandbox: locations, calendars, users, appointments and notes; and the slots that are free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ..recurrence import Instance, expand_series, parse_instance_id
from .models import BookedAppointment, BookedNote, Calendar, Contact, Location, Stamps, User

SEED_DAY: Final = datetime(2027, 3, 3, tzinfo=UTC)
"""When a sandbox's own calendar begins: a week before its first appointments."""
_TICK: Final = timedelta(milliseconds=1)
_SEEDED: Final = Stamps(datetime(2027, 3, 1, 16, 4, 11, 201_000, UTC), datetime(2027, 3, 2, 8, 30, 2, 884_000, UTC))


class Contacts(dict[str, str]):
    """The location of each contact, by its id."""

    def __init__(self) -> None:
        super().__init__()
        self.edited: dict[str, Contact] = {}
        """Those that are not as their ids make them."""


class Store:
    """All state of the server, in memory."""

    def __init__(self) -> None:
        self.locations: dict[str, Location] = {}
        """In the order in which they were made."""
        self.users: dict[str, User] = {}
        self.calendars: dict[str, Calendar] = {}
        self.groups: dict[str, str] = {}
        """The group of each calendar that is in one, by the calendar's id."""
        self.contacts = Contacts()
        self.notes: defaultdict[str, list[BookedNote]] = defaultdict(list)
        self.now: datetime | None = None
        """The time that changes are stamped with; `None` while the seed is built."""
        self.on_change: Callable[[BookedAppointment | None, BookedAppointment], None] | None = None
        """Called after every change, with what was known of the event before."""
        self._stamps: dict[str, Stamps] = {}
        self._index = _Index()

    def __iter__(self) -> Iterator[BookedAppointment]:
        return iter(self._index.events.values())

    def __len__(self) -> int:
        return len(self._index.events)

    @property
    def first_location(self) -> Location:
        """The one that every sandbox has."""
        return next(iter(self.locations.values()))

    def put(self, event: BookedAppointment, stamps: Stamps | None = None) -> None:
        """Add an appointment, or replace the one with its id. With stamps, it is restored, not changed."""
        known = self._index.events.get(event.id)
        if known is not None:
            self._index.remove(known)
        self._index.events[event.id] = event
        self._index.add(event)
        if stamps is not None:
            self._stamps[event.id] = stamps
        elif self.now is not None:
            self._stamp(event, self.now, is_new=known is None)
            if self.on_change is not None:
                self.on_change(known, event)

    def find_stamps(self, event: BookedAppointment) -> Stamps:
        """When an event was added and last changed; an instance that was never changed has those of its series."""
        return self._stamps.get(event.id) or self._stamps.get(event.master_event_id or "") or _SEEDED

    def _stamp(self, event: BookedAppointment, now: datetime, *, is_new: bool) -> None:
        """Every change is stamped later than the one before, however fast they follow each other."""
        if is_new and event.master_event_id is None:
            self._stamps[event.id] = Stamps(now, now)
        else:
            known = self.find_stamps(event)
            self._stamps[event.id] = Stamps(known.added, max(now, known.updated + _TICK))

    def find(self, event_id: str) -> BookedAppointment | None:
        """An appointment, or an instance of a series, by its id."""
        return self._index.events.get(event_id) or self._find_instance(event_id)

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
        """Whether no other appointment of its assignee or calendar overlaps it, nor an instance of a series."""
        owners = {event.assigned_user_id, event.calendar_id}
        others = [self._index.events[one] for one in self._index.find_busy(event, owners) if one != event.id]
        for master_id in self._index.masters.get(event.location_id, ()):
            master = self._index.events[master_id]
            if master.id != event.id and master.owner_id in owners - {""}:
                others += self._list_instances(master, event.start_time, event.end_time)
        return not any(
            other.id != event.id and other.is_busy and _overlap(other, event.start_time, event.end_time)
            for other in others
        )

    def list_between(self, location_id: str, start: datetime, end: datetime) -> list[BookedAppointment]:
        """What is not deleted and overlaps a range, instances of series included, by start."""
        masters = self._index.masters.get(location_id, set())
        events = [self._index.events[one] for one in self._index.find_events(location_id, start, end) - masters]
        events += [
            one for master in masters for one in self._list_instances(self._index.events[master], start, end)
        ]
        found = [one for one in events if not one.deleted and _overlap(one, start, end)]
        return sorted(found, key=lambda one: (one.start_time, one.id))

    def _list_instances(self, master: BookedAppointment, start: datetime, end: datetime) -> list[BookedAppointment]:
        """The instances of a series that overlap a range, except those that were changed by themselves."""
        if master.deleted:
            return []
        start -= master.end_time - master.start_time
        instances = _expand(master, self.calendars[master.calendar_id].zone, start, end)
        return [_build_instance(master, one) for one in instances if one.id not in self._index.events]

    def _find_instance(self, event_id: str) -> BookedAppointment | None:
        instance = parse_instance_id(event_id)
        master = self._index.events.get(instance.master_event_id) if instance is not None else None
        if instance is None or master is None or master.rrule is None:
            return None
        moment = timedelta(seconds=1)
        around = _expand(
            master, self.calendars[master.calendar_id].zone, instance.start - moment, instance.start + moment
        )
        return next((_build_instance(master, one) for one in around if one.id == event_id), None)


class _Index:
    """Ids of events by location and day, so that a request looks at its own location and days only."""

    def __init__(self) -> None:
        self.events: dict[str, BookedAppointment] = {}
        self.masters: defaultdict[str, set[str]] = defaultdict(set)
        """The masters of series, by location."""
        self._days: defaultdict[tuple[str, date], set[str]] = defaultdict(set)
        self._busy: defaultdict[tuple[str, str, date], set[str]] = defaultdict(set)

    def add(self, event: BookedAppointment) -> None:
        if event.rrule is not None:
            self.masters[event.location_id].add(event.id)
        for day in _list_days(event.start_time, event.end_time):
            self._days[event.location_id, day].add(event.id)
            if event.is_busy:
                self._busy[event.location_id, event.owner_id, day].add(event.id)

    def remove(self, event: BookedAppointment) -> None:
        self.masters[event.location_id].discard(event.id)
        for day in _list_days(event.start_time, event.end_time):
            self._days[event.location_id, day].discard(event.id)
            self._busy[event.location_id, event.owner_id, day].discard(event.id)

    def find_events(self, location_id: str, start: datetime, end: datetime) -> set[str]:
        days = _list_days(start, end)
        return {event_id for day in days for event_id in self._days.get((location_id, day), ())}

    def find_busy(self, event: BookedAppointment, owners: Iterable[str]) -> set[str]:
        days = _list_days(event.start_time, event.end_time)
        keys = [(event.location_id, owner, day) for owner in owners for day in days]
        return {event_id for key in keys for event_id in self._busy.get(key, ())}


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


def _list_days(start: datetime, end: datetime) -> list[date]:
    """The days in UTC that a range touches."""
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
        if any(store.is_free(_fill_slot(calendar, moment, user)) for user in users):
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


def _expand(master: BookedAppointment, zone: str, after: datetime, before: datetime) -> Iterator[Instance]:
    rule = master.rrule or ""
    return expand_series(master.id, rule, master.start_time, master.end_time, zone=zone, after=after, before=before)
