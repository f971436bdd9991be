"""The state of the sandbox: locations, calendars, users, appointments and notes; and whose time is taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Final

import msgspec

from ..recurrence import Instance, expand_series, parse_instance_id
from .models import BookedAppointment, BookedNote, Calendar, Contact, Group, Location, Stamps, User

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


class Groups(dict[str, str]):
    """The group of each calendar that is in one, by the calendar's id."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Group] = {}
        """By their ids."""


class Store:
    """All state of the server, in memory."""

    def __init__(self) -> None:
        self.locations: dict[str, Location] = {}
        """In the order in which they were made."""
        self.users: dict[str, User] = {}
        self.calendars: dict[str, Calendar] = {}
        self.groups = Groups()
        self.contacts = Contacts()
        self.notes: defaultdict[str, list[BookedNote]] = defaultdict(list)
        self.now: datetime | None = None
        """The time that changes are stamped with; `None` while the seed is built."""
        self.on_change: Callable[[BookedAppointment | None, BookedAppointment], None] | None = None
        """Called after every change, with what was known of the event before."""
        self._stamps: dict[str, Stamps] = {}
        self.index = _Index()
        """Where to find events, and what was changed."""

    def __iter__(self) -> Iterator[BookedAppointment]:
        return iter(self.index.events.values())

    def __len__(self) -> int:
        return len(self.index.events)

    @property
    def first_location(self) -> Location:
        """The one that every sandbox has."""
        return next(iter(self.locations.values()))

    def put(self, event: BookedAppointment, stamps: Stamps | None = None) -> None:
        """Add an appointment, or replace the one with its id. With stamps, it is restored, not changed."""
        known = self.index.events.get(event.id)
        if known is not None:
            self.index.remove(known)
        self.index.events[event.id] = event
        self.index.add(event, list_owners(self, event))
        if stamps is not None:
            self._stamps[event.id] = stamps
        elif self.now is not None:
            self._stamp(event, self.now, is_new=known is None)
            if self.on_change is not None:
                self.on_change(known, event)
        if self.now is not None:
            self.index.note(event.id)

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
        return self.index.events.get(event_id) or self._find_instance(event_id)

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
        """Whether an appointment can have its time: nobody whose time it takes is busy, and a seat is left.

        Instances of series count as well. Appointments of the same calendar and slot share its seats.
        """
        owners = {*list_owners(self, event), event.calendar_id} - {""}
        others = [self.index.events[one] for one in self.index.find_busy(event, owners)]
        for master_id in self.index.masters.get(event.location_id, ()):
            master = self.index.events[master_id]
            if master.id != event.id and not owners.isdisjoint(list_owners(self, master)):
                others += self._list_instances(master, event.start_time, event.end_time)
        taken = [
            one
            for one in others
            if one.id != event.id and one.is_busy and _overlap(one, event.start_time, event.end_time)
        ]
        if not taken:
            return True
        calendar = self.calendars.get(event.calendar_id)
        return calendar is not None and len(taken) < calendar.seats and all(_share(event, one) for one in taken)

    def list_between(self, location_id: str, start: datetime, end: datetime) -> list[BookedAppointment]:
        """What is not deleted and overlaps a range, instances of series included, by start."""
        masters = self.index.masters.get(location_id, set())
        events = [self.index.events[one] for one in self.index.find_events(location_id, start, end) - masters]
        events += [one for master in masters for one in self._list_instances(self.index.events[master], start, end)]
        found = [one for one in events if not one.deleted and _overlap(one, start, end)]
        return sorted(found, key=lambda one: (one.start_time, one.id))

    def _list_instances(self, master: BookedAppointment, start: datetime, end: datetime) -> list[BookedAppointment]:
        """The instances of a series that overlap a range, except those that were changed by themselves."""
        if master.deleted:
            return []
        start -= master.end_time - master.start_time
        instances = _expand(master, self.calendars[master.calendar_id].zone, start, end)
        return [_build_instance(master, one) for one in instances if one.id not in self.index.events]

    def _find_instance(self, event_id: str) -> BookedAppointment | None:
        instance = parse_instance_id(event_id)
        master = self.index.events.get(instance.master_event_id) if instance is not None else None
        if instance is None or master is None or master.rrule is None:
            return None
        moment = timedelta(seconds=1)
        around = _expand(
            master, self.calendars[master.calendar_id].zone, instance.start - moment, instance.start + moment
        )
        return next((_build_instance(master, one) for one in around if one.id == event_id), None)


def list_owners(store: Store, event: BookedAppointment) -> tuple[str, ...]:
    """Whose time an appointment takes: its assignee's, and of some calendars that of others, too."""
    calendar = store.calendars.get(event.calendar_id)
    return (event.owner_id,) if calendar is None else calendar.list_owners(event)


class _Index:
    """Ids of events by location and day, so that a request looks at its own location and days only."""

    def __init__(self) -> None:
        self.events: dict[str, BookedAppointment] = {}
        self.masters: defaultdict[str, set[str]] = defaultdict(set)
        """The masters of series, by location."""
        self._days: defaultdict[tuple[str, date], set[str]] = defaultdict(set)
        self._busy: defaultdict[tuple[str, str, date], set[str]] = defaultdict(set)
        self._owners: dict[str, tuple[str, ...]] = {}
        self.revision = 0
        """How often an event was changed."""
        self._revisions: dict[str, int] = {}
        """The last revision of each event that was changed, newest last."""

    def note(self, event_id: str) -> None:
        """An event was changed."""
        self.revision += 1
        self._revisions.pop(event_id, None)
        self._revisions[event_id] = self.revision

    def list_changed(self, since: int) -> list[BookedAppointment]:
        """The events that were changed after a revision, as they are now."""
        newest = takewhile(lambda noted: noted[1] > since, reversed(self._revisions.items()))
        return [self.events[event_id] for event_id, _ in newest]

    def add(self, event: BookedAppointment, owners: tuple[str, ...]) -> None:
        """`owners` are those whose time it takes."""
        self._owners[event.id] = owners
        if event.rrule is not None:
            self.masters[event.location_id].add(event.id)
        for day in _list_days(event.start_time, event.end_time):
            self._days[event.location_id, day].add(event.id)
            if event.is_busy:
                for owner in owners:
                    self._busy[event.location_id, owner, day].add(event.id)

    def remove(self, event: BookedAppointment) -> None:
        self.masters[event.location_id].discard(event.id)
        owners = self._owners.pop(event.id)
        for day in _list_days(event.start_time, event.end_time):
            self._days[event.location_id, day].discard(event.id)
            for owner in owners:
                self._busy[event.location_id, owner, day].discard(event.id)

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


def _share(event: BookedAppointment, other: BookedAppointment) -> bool:
    """Whether two appointments have seats of the same slot, with the same person."""
    slots = ((one.calendar_id, one.assigned_user_id, one.start_time, one.end_time) for one in (event, other))
    return not other.is_block and next(slots) == next(slots)


def _list_days(start: datetime, end: datetime) -> list[date]:
    """The days in UTC that a range touches."""
    first = start.astimezone(UTC).date()
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def _expand(master: BookedAppointment, zone: str, after: datetime, before: datetime) -> Iterator[Instance]:
    rule = master.rrule or ""
    return expand_series(master.id, rule, master.start_time, master.end_time, zone=zone, after=after, before=before)
